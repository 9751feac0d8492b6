"""apk's database of installed packages (`lib/apk/db`), format 2: read it, and cut it down to some packages.

Each package is a block of one-letter fields; F: names a folder, M: its owner and mode, R: a file in it,
a: the file's owner and mode, Z: its checksum. Source: apk-tools' src/database.c (apk_db_read_installed).
"""

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from standin.errors import StandinError

DATABASE = "lib/apk/db"
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A folder or file as its package left it; `checksum` is SHA-1 in base64, empty for folders."""

    path: str
    mode: int
    uid: int
    gid: int
    folder: bool
    checksum: str = ""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One installed package: its fields, its files, and its block as it stands in the database."""

    name: str
    version: str
    checksum: str  # "Q1…", the identity of the package
    depends: tuple[str, ...]
    provides: tuple[str, ...]
    entries: tuple[Entry, ...]
    block: str


def installed(root: Path) -> list[Installed]:
    """The packages of the root file system at `root`. Raises StandinError if it has no readable database."""
    path = root / DATABASE / "installed"
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise StandinError(f"{path} is no apk database: {error}", hint="the base is damaged") from error


def parse(text: str) -> list[Installed]:
    """The packages of the text of `installed`. Raises ValueError or KeyError if it is damaged."""
    return [_package(block) for block in text.split("\n\n") if block.strip()]


def _package(block: str) -> Installed:
    lines = [(line[:1], line[2:]) for line in block.strip("\n").split("\n")]
    if any(line[1:2] != ":" for line in block.strip("\n").split("\n")):
        raise ValueError("a line without a field letter")
    # The letters are per package until the first F:, per file afterwards.
    head: dict[str, str] = {}
    for letter, value in lines:
        if letter == "F":
            break
        head[letter] = value
    return Installed(
        name=head["P"],
        version=head["V"],
        checksum=head["C"],
        depends=tuple(head.get("D", "").split()),
        provides=tuple(head.get("p", "").split()),
        entries=tuple(_entries(lines)),
        block=block.strip("\n") + "\n\n",
    )


def _entries(lines: Iterable[tuple[str, str]]) -> Iterator[Entry]:
    folder = ""
    current: Entry | None = None
    for letter, value in lines:
        if letter in "FR" and current:
            yield current
        if letter == "F":
            folder = value
            current = Entry(path=folder, mode=_FOLDER_MODE, uid=0, gid=0, folder=True)
        elif letter == "R":
            path = f"{folder}/{value}" if folder else value
            current = Entry(path=path, mode=_FILE_MODE, uid=0, gid=0, folder=False)
        elif current and letter in "Ma":
            uid, gid, mode = value.split(":")[:3]
            current = _changed(current, mode=int(mode, 8), uid=int(uid), gid=int(gid))
        elif current and letter == "Z":
            current = _changed(current, checksum=value.removeprefix("Q1"))
    if current:
        yield current


def _changed(entry: Entry, **more: int | str) -> Entry:
    return Entry(**{**vars(entry), **more})


def closed(packages: Iterable[Installed]) -> list[str]:
    """What the packages depend on and none of them provides (versions are not compared)."""
    packages = list(packages)
    there = {package.name for package in packages}
    there |= {_bare(word) for package in packages for word in package.provides}
    wanted = {_bare(word) for package in packages for word in package.depends if not word.startswith("!")}
    return sorted(wanted - there)


def _bare(word: str) -> str:
    for sign in "<>=~":
        word = word.partition(sign)[0]
    return word


def link_target(path: Path) -> str:
    """A symbolic link's target as it stands there; Path.readlink would tidy `./a//b/` to `a/b`."""
    return os.readlink(path)  # noqa: PTH115


def checksum_of(path: Path) -> str:
    """The checksum apk keeps for a file (its content) or a symbolic link (its target)."""
    content = os.fsencode(link_target(path)) if path.is_symlink() else path.read_bytes()
    return base64.b64encode(hashlib.sha1(content).digest()).decode()  # noqa: S324 - apk's own


def script_mark(package: Installed) -> str:
    """What the names of the package's scripts in scripts.tar contain: `X1` and the identity in hex."""
    return f".X1{base64.b64decode(package.checksum.removeprefix('Q1')).hex()}."
