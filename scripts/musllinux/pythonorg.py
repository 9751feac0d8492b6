"""CPython's releases as python.org's folders list them, and mirrors of the same layout.

<python>/ has a folder for each X.Y.Z; that has Python-X.Y.Z.tar.xz, beside it prereleases of X.Y.Z, and for each file a
Sigstore bundle (<file>.sigstore) since 3.7.14.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from musllinux import web
from musllinux.errors import FactoryError
from musllinux.model import ordinal
from musllinux.redact import redact

_FOLDER = re.compile(r'href="(?:[^"]*/)?(\d{1,4}\.\d{1,4}\.\d{1,4})/"', re.ASCII)
_FILE = re.compile(r'href="(?:[^"]*/)?(Python-(\d{1,4}\.\d{1,4}\.\d{1,4}(?:(?:a|b|rc)\d{1,4})?)\.tar\.xz)"', re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Release:
    """An archive that is there: its version (3.15.0rc1), the folder it lies in (3.15.0) and its name."""

    version: str
    folder: str
    file: str


class Listing:
    """python.org's folders, each read once."""

    def __init__(self, url: str, ca: Path | None) -> None:
        self._url, self._ca = url, ca
        self._folders: list[str] | None = None

    def newest(self, series: str) -> Release:
        """The newest release of a series, a prerelease only where it has no final one.

        Raises FactoryError where the listing cannot be had or has nothing of the series.
        """
        prerelease: Release | None = None
        for folder in self._of(series):
            found = sorted(self._releases(folder), key=lambda release: Version(release.version))
            finals = [release for release in found if not Version(release.version).is_prerelease]
            if finals:
                return finals[-1]
            if found and prerelease is None:
                prerelease = found[-1]
        if prerelease is None:
            raise FactoryError(
                f"{redact(self._url)}/: no Python {series} with a .tar.xz is listed there",
                hint="a mirror must list its folders as python.org does; or drop the series from the matrix",
            )
        return prerelease

    def bundle(self, release: Release) -> bytes | None:
        """The Sigstore bundle of an archive, where there is one. Raises FactoryError."""
        return web.page(f"{self.place(release)}.sigstore", self._ca)

    def place(self, release: Release) -> str:
        return f"{self._url}/{release.folder}/{release.file}"

    def _of(self, series: str) -> list[str]:
        """Folders of a series, the newest first."""
        if self._folders is None:
            self._folders = _FOLDER.findall(self._read(f"{self._url}/"))
        return sorted({f for f in self._folders if f.startswith(f"{series}.")}, key=ordinal, reverse=True)

    def _releases(self, folder: str) -> Iterator[Release]:
        for file, version in _FILE.findall(self._read(f"{self._url}/{folder}/")):
            if Version(version).base_version == folder:
                yield Release(version=version, folder=folder, file=file)

    def _read(self, url: str) -> str:
        found = web.page(url, self._ca)
        if found is None:
            raise FactoryError(f"{redact(url)}: not there", hint="is the mirror's address right?")
        return found.decode("utf-8", errors="replace")
