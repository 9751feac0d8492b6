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
    """A CPython source archive: its name below `<python>/<version>/` and the SHA-256 of its bytes, in hex.

    `signer`: whose Sigstore signature of these bytes `lock` has verified; empty where there was none to verify.
    """

    version: PythonVersion
    file: ArchiveFile
    sha256: Sha256
    signer: str = ""


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


_NONE = '""'
_HEAD = """\
# What upstream's archives and base images resolved to: `build` takes no others. Written by `musllinux lock`.
"""
_CPYTHON = """\
  # Source archives below <python>/<version>/, their SHA-256, and whose Sigstore signature was verified.
"""
_BASES = """\
  # Base images: `digest` is the multi-arch index's, `platforms` its manifests'. `minirootfs` are the SHA-512 of
  # Alpine's own tarballs of that version, by apk architecture, as Alpine publishes them. An empty digest is not locked
  # yet: such a base renders, and refuses to build.
"""


def dump(lock: Lock) -> str:
    """lock.yaml of a lock, in the order that it has."""
    lines = [f"{_HEAD}format: {lock.format}\n\nupstream:\n{_CPYTHON}  cpython:\n"]
    for series, archive in lock.upstream.cpython.items():
        lines.append(f'    "{series}":\n')
        values = archive.model_dump(exclude_defaults=True)
        lines += [f"      {name}: {value}\n" for name, value in values.items()]
    lines.append(f"{_BASES}  bases:\n")
    for release, base in lock.upstream.bases.items():
        lines.append(f'    "{release}":\n      version: {base.version}\n      reference: {base.reference}\n')
        lines.append(f"      digest: {base.digest or _NONE}\n")
        for name, values in (("platforms", base.platforms), ("minirootfs", base.minirootfs)):
            lines.append(f"      {name}:{'' if values else ' {}'}\n")
            lines += [f"        {key}: {value}\n" for key, value in values.items()]
    return "".join(lines)


def write(path: Path, lock: Lock) -> None:
    """Replace lock.yaml in one step: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(dump(lock), encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


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
