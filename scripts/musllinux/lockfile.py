"""lock.yaml, format 1: what every input from upstream resolved to, with the checksum that must hold before use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from musllinux.errors import UsageError
from musllinux.mistakes import Mistake, report
from musllinux.schema import Name, Platform, Release, Section, Version, form
from musllinux.validate import beyond, validate
from musllinux.yamlfile import Table, Tree, place_of, read

Sha256 = Annotated[str, form(r"[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits")]
Sha512 = Annotated[str, form(r"[0-9a-f]{128}", "a SHA-512 of 128 hexadecimal digits")]
Digest = Annotated[str, form(r"sha256:[0-9a-f]{64}", "a digest such as sha256:…64 digits…")]
NoDigest = Annotated[str, form(r"(sha256:[0-9a-f]{64})?", 'a digest such as sha256:…64 digits…, or "" before locking')]
ArchiveFile = Annotated[str, form(r"Python-[0-9a-z.]+\.(tar\.xz|tgz)", "a name such as Python-3.14.6.tar.xz")]
Reference = Annotated[str, form(r"[a-z0-9][A-Za-z0-9._:/-]*:[A-Za-z0-9_.-]+", "an image reference with its tag")]
PythonVersion = Annotated[str, form(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", "a version such as 3.14.6 or 3.15.0rc1")]


class LockedArchive(Section):
    """A CPython source archive: its name below `<python>/<version>/` and the SHA-256 of its bytes, in hex."""

    version: PythonVersion
    file: ArchiveFile
    sha256: Sha256


class LockedBase(Section):
    """A base image of one Alpine release.

    `digest` is that of the multi-arch index, empty as long as it is not locked; `platforms` the manifests' by Docker
    platform; `minirootfs` the SHA-512 of Alpine's tarballs, in hex, by apk architecture.
    """

    version: Version
    reference: Reference
    digest: NoDigest
    platforms: dict[Platform, Digest]
    minirootfs: dict[Name, Sha512] = Field(default_factory=dict)


class LockedUpstream(Section):
    cpython: dict[Release, LockedArchive]
    bases: dict[Release, LockedBase]


class Lock(Section):
    """The whole of lock.yaml."""

    format: Literal[1]
    upstream: LockedUpstream


@dataclass
class LockError(UsageError):
    """A bad lock. `message` has a line for each mistake: `file:line: key.path: what; allowed: …`."""

    mistakes: tuple[Mistake, ...] = ()


def load(path: Path) -> Lock:
    """The lock at `path`.

    Raises LockError with every mistake of the file.
    """
    tree, mistakes = read(path)
    lock = None
    if isinstance(tree, Table):
        lock, found = validate(Lock, tree)
        mistakes += beyond(mistakes, found)
    elif tree is not None:
        mistakes.append(Mistake(tree.place, what="is not a mapping", allowed="`key: value` lines"))
    if lock is not None and tree is not None:
        mistakes += _disagreements(lock, tree)
    if mistakes or lock is None:
        raise LockError(report(mistakes), hint="`musllinux lock` writes this file", mistakes=tuple(mistakes))
    return lock


def _disagreements(lock: Lock, tree: Tree) -> list[Mistake]:
    """A version under another series' key, or a file of another version."""
    found: list[Mistake] = []

    def note(path: tuple[str, ...], what: str, allowed: str) -> None:
        found.append(Mistake(place_of(tree, path), path=path, what=what, allowed=allowed))

    for series, archive in lock.upstream.cpython.items():
        path = ("upstream", "cpython", series)
        if not archive.version.startswith(f"{series}."):
            note((*path, "version"), f"{archive.version} under {series}", f"{series}.…")
        if not archive.file.startswith(f"Python-{archive.version}."):
            note((*path, "file"), f"{archive.file} is not of {archive.version}", f"Python-{archive.version}.tar.xz")
    for release, base in lock.upstream.bases.items():
        if not base.version.startswith(f"{release}."):
            place = ("upstream", "bases", release, "version")
            note(place, f"{base.version} under {release}", f"{release}.…")
    return found
