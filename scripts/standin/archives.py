"""CPython's source archives out of Debian's source packages, under the names python.org gives them."""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standin.apt import Apt, GoneError, Record
from standin.cache import Cache, digest_of, sha256_file, write_atomically
from standin.catalogue import load_data, thawed
from standin.errors import StandinError

_LAYOUT = 1  # bump when what lies under a product's folder changes
_SUFFIXES = {"tar.xz": "tar.xz", "tar.gz": "tgz"}  # Debian's and python.org's spelling


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One archive: its version ("3.9.2"), file, and SHA-256 (hex)."""

    version: str
    path: Path
    sha256: str

    @property
    def place(self) -> str:
        """Where python.org has it: prereleases in their release's folder."""
        return f"{re.sub(r'(a|b|rc)[0-9]+$', '', self.version)}/{self.path.name}"


def default_series() -> tuple[str, ...]:
    """The series that `up` provides unless told otherwise."""
    return tuple(load_data("archives.yaml")["default"])


class UnavailableError(StandinError):
    """A series that no suite of the mirror has just now, although it is known."""


class Archives:
    """Archives by series ("3.11"). `accept_newer` follows a suite that moved on, on Debian's signature."""

    def __init__(
        self, cache: Cache, apt: Apt, report: Callable[[str], None], *, accept_newer: bool, refresh: bool
    ) -> None:
        self._refresh = refresh
        self._notes = cache.root / "archives-without.json"
        self._cache = cache
        self._apt = apt
        self._report = report
        self._accept_newer = accept_newer
        self._series = load_data("archives.yaml")["series"]

    def archive(self, series: str) -> Archive:
        """The archive of a series, fetched if need be.

        Raises StandinError for an unknown series, a wrong checksum, or if no suite has a known version left.
        """
        if series not in self._series:
            raise StandinError(f"the stand-in has no CPython {series}", hint=f"it knows {', '.join(self._series)}")
        candidates = self._series[series]
        for candidate in candidates:
            folder = self._cache.find(_key(candidate))
            if folder:
                return _load(folder)
        reason = self._refused(candidates)
        if reason:
            raise _unavailable(reason)
        return self._first(series, candidates)

    def _first(self, series: str, candidates: Sequence[Mapping[str, Any]]) -> Archive:
        """The first candidate that the mirror has."""
        refusals: list[str] = []
        for candidate in candidates:
            try:
                if "pool" in candidate:
                    return self._fetch(candidate)
                record = self._apt.sources(candidate["suite"], candidate["source"])
                if _upstream(record) == candidate["version"]:
                    return self._fetch(candidate)
                if self._accept_newer:
                    return self._fetch(self._newer(candidate, record))
                refusals.append(f"{candidate['suite']} has {_upstream(record)}, not {candidate['version']}")
            except GoneError as error:
                refusals.append(error.message)
        reason = f"the pinned CPython {series} cannot be had from Debian: {'; '.join(refusals)}"
        self._remember(candidates, reason)
        raise _unavailable(reason)

    def _refused(self, candidates: Sequence[Mapping[str, Any]]) -> str | None:
        """Why these could not be had last time: asking apt again takes seconds, and `--refresh` does."""
        if self._refresh or self._accept_newer or not self._notes.is_file():
            return None
        return dict(json.loads(self._notes.read_text())).get(digest_of(thawed(candidates)))

    def _remember(self, candidates: Sequence[Mapping[str, Any]], reason: str) -> None:
        with self._cache.lock("archives"):
            notes = json.loads(self._notes.read_text()) if self._notes.is_file() else {}
            notes[digest_of(thawed(candidates))] = reason
            write_atomically(self._notes, json.dumps(notes).encode())

    def known(self) -> list[Archive]:
        """Every pinned archive that has been fetched."""
        folders = [self._cache.find(_key(each)) for candidates in self._series.values() for each in candidates]
        return [_load(folder) for folder in folders if folder]

    def _fetch(self, candidate: Mapping[str, Any]) -> Archive:
        def build(folder: Path) -> None:
            orig = self._orig(candidate)
            found = sha256_file(orig)
            if found != candidate["sha256"]:
                raise StandinError(
                    f"Debian's {orig.name} is not the pinned archive: SHA-256 {found}, not {candidate['sha256']}",
                    hint="do not use it before you know why; archives.yaml holds the sums",
                )
            name = f"Python-{candidate['version']}.{candidate['suffix']}"
            shutil.copyfile(orig, folder / name)
            facts = {"version": candidate["version"], "file": name, "sha256": found}
            (folder / "archive.json").write_text(json.dumps(facts))

        return _load(self._cache.product(_key(candidate), build))

    def _orig(self, candidate: Mapping[str, Any]) -> Path:
        if "pool" in candidate:
            return self._apt.pool(candidate["pool"], candidate["sha256"])
        _, [orig] = self._apt.source(candidate["suite"], candidate["source"])
        return orig

    def _newer(self, candidate: Mapping[str, Any], record: Record) -> Mapping[str, Any]:
        [(name, sha256)] = record.files.items()
        suffix = _SUFFIXES[name.partition(".orig.")[2]]
        self._report(f"Debian {candidate['suite']} has moved on to CPython {_upstream(record)}: taking that")
        return {**candidate, "version": _upstream(record), "sha256": sha256, "suffix": suffix}


def _unavailable(reason: str) -> UnavailableError:
    return UnavailableError(
        reason,
        hint="`up --refresh` reads the mirror's index again, `up --accept-newer` takes what it has now on "
        "Debian's signature; or leave the series out (--python)",
    )


def _upstream(record: Record) -> str:
    """Upstream's version inside Debian's: 3.11.2-6+deb12u8 -> 3.11.2, 3.15.0~b3-1 -> 3.15.0b3."""
    version = record.version.rpartition(":")[2].rpartition("-")[0]
    return re.sub(r"~(?=(a|b|rc)\d)", "", version)


def _key(candidate: Mapping[str, Any]) -> str:
    return f"archive-{candidate['version']}-{digest_of([_LAYOUT, thawed(candidate)])[:32]}"


def _load(folder: Path) -> Archive:
    facts = json.loads((folder / "archive.json").read_text())
    return Archive(version=facts["version"], path=folder / facts["file"], sha256=facts["sha256"])
