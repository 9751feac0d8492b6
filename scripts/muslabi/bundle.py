"""The files that are audited together: a wheel's, a folder's, or one alone."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from muslabi import archive, libraries, metadata, tags
from muslabi.elf import MAGIC, Elf, ElfError
from muslabi.elf import read as read_elf
from muslabi.findings import Finding, find

_DATA = re.compile(r"[^/]+\.data/(?P<scheme>[a-z]+)/(?P<rest>.+)")
# Where a wheel's data schemes lie, seen from site-packages (lib/pythonX.Y/site-packages).
MAX_MEMBERS = 3000  # ELF files; the largest wheel of the survey has some 300
_SMALLEST_SYMBOL = 16  # bytes: a damaged file may have cost as much as one full of them
MAX_WORK = 3_000_000  # symbols of all of them (elf.Elf.work); the largest wheel of the survey has 0.13 million
_SCHEMES = {"purelib": "", "platlib": "", "scripts": "../../../bin/", "data": "../../../", "headers": None}


@dataclass(frozen=True)
class Member:
    """An ELF file of a bundle."""

    name: str  # as the archive or folder has it
    path: str  # as installed, relative to site-packages (or to the folder)
    elf: Elf
    size: int
    found: tuple[libraries.Found, ...]  # libraries that tell their version in its bytes
    libc_inside: str | None  # a libc linked into it
    aliases: tuple[str, ...] = ()  # links to it within the folder

    @property
    def base(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Bundle:
    """Files that are installed together. `complete`: whatever is not here must come from the platform."""

    source: str
    kind: str  # "wheel", "folder" or "file"
    wheel: tags.WheelName | None
    members: tuple[Member, ...]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def complete(self) -> bool:
        return self.kind == "wheel"


def installed_path(name: str) -> str:
    """Where a wheel's member ends up, relative to site-packages."""
    match = _DATA.fullmatch(name)
    prefix = _SCHEMES.get(match["scheme"]) if match else None
    return f"{prefix}{match['rest']}" if match and prefix is not None else name


def _member(name: str, path: str, data: bytes, aliases: tuple[str, ...] = ()) -> Member:
    """Raises ElfError."""
    elf = read_elf(data)
    return Member(
        name=name,
        path=path,
        elf=elf,
        size=len(data),
        found=libraries.scan(data, elf),
        libc_inside=libraries.libc_inside(data, elf),
        aliases=aliases,
    )


def _is_library(name: str) -> bool:
    base = name.rpartition("/")[2]
    return base.endswith(".so") or ".so." in base


def _damaged(name: str, error: ElfError) -> Finding:
    """A damaged file is an error where a loader would meet it, else (test data, say) not worth one."""
    finding = find("unreadable-elf", name, f"cannot be read as ELF: {error}")
    if _is_library(name):
        return finding
    return Finding(finding.code, "info", name, finding.message, finding.remedy)


def read_wheel(path: Path, limits: archive.Limits = archive.DEFAULT_LIMITS) -> Bundle:
    """The ELF files of the wheel at `path`. Raises WheelError, and TagError for a name that is no wheel's."""
    name = tags.parse(path.name)
    members: list[Member] = []
    findings: list[Finding] = []
    digests: dict[str, str] = {}
    work = 0
    with archive.Wheel(path, limits) as wheel:
        for info in wheel.members:
            if archive.unsafe(info.filename):
                findings.append(find("unsafe-path", info.filename, "leads out of the install folder"))
        for file_name, data in wheel.elf_files():
            if len(digests) >= MAX_MEMBERS:
                raise archive.WheelError(f"has more than {MAX_MEMBERS} ELF files")
            digests[file_name] = metadata.encode(hashlib.sha256(data).digest())
            try:
                members.append(_member(file_name, installed_path(file_name), data))
                work += members[-1].elf.work
            except ElfError as error:
                findings.append(_damaged(file_name, error))
                work += len(data) // _SMALLEST_SYMBOL
            if work > MAX_WORK:
                raise archive.WheelError(f"has more than {MAX_WORK} symbols in its ELF files")
        folder = metadata.dist_info(wheel)
        findings.extend(metadata.check_metadata(wheel, folder, name))
        findings.extend(metadata.check_record(wheel, folder, digests))
    return Bundle(path.name, "wheel", name, tuple(members), tuple(findings))


def read_file(path: Path) -> Bundle:
    """One ELF file alone. Raises ElfError, OSError."""
    if not _is_elf(path):
        raise ElfError("is neither a wheel nor an ELF file")
    data = _read_bounded(path)
    return Bundle(path.name, "file", None, (_member(path.name, path.name, data),))


def read_folder(root: Path) -> Bundle:
    """All ELF files below `root`, links not followed out of it. Raises OSError."""
    members: list[Member] = []
    findings: list[Finding] = []
    files, links = _walk(root)
    for path in files:
        name = path.relative_to(root).as_posix()
        if not _is_elf(path):
            continue
        try:
            members.append(_member(name, name, _read_bounded(path), tuple(links.get(path, ()))))
        except ElfError as error:
            findings.append(_damaged(name, error))
    return Bundle(str(root), "folder", None, tuple(members), tuple(findings))


def _walk(root: Path) -> tuple[list[Path], dict[Path, list[str]]]:
    """The regular files below `root`, and for each the links within `root` that lead to it. Raises OSError."""
    files: list[Path] = []
    links: dict[Path, list[str]] = {}
    real = root.resolve()
    for folder, subfolders, names in os.walk(root, onerror=_unreadable, followlinks=False):
        subfolders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink():
                _note_link(path, root, real, links)
            elif stat.S_ISREG(path.lstat().st_mode):
                files.append(path)
    return files, links


def _unreadable(error: OSError) -> None:
    """A folder that cannot be listed is no empty one: what is in it has not been audited."""
    raise error


def _note_link(path: Path, root: Path, real: Path, links: dict[Path, list[str]]) -> None:
    try:
        inside = path.resolve().relative_to(real)
    except (ValueError, OSError, RuntimeError):  # leads out, or round in circles
        return
    links.setdefault(root / inside, []).append(path.relative_to(root).as_posix())


def wheels_below(root: Path) -> Iterator[Path]:
    """The wheels in a folder and its subfolders. Raises OSError."""
    files, _ = _walk(root)
    return (path for path in files if path.suffix == ".whl")


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def _read_bounded(path: Path) -> bytes:
    limit = archive.DEFAULT_LIMITS.member_bytes
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ElfError(f"has more than {limit} bytes")
    return data
