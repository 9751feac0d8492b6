"""Versions that libraries tell about themselves in their bytes, and the libc that was linked in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any

from muslabi.database import read_data
from muslabi.elf import Elf

_MOST = 64  # versions of one library looked at in one file


@dataclass(frozen=True, order=True)
class Found:
    """A library and the version it tells."""

    name: str
    version: str
    branch: str


@dataclass(frozen=True)
class Known:
    """How to find a library's version, and until when a branch of it is cared for."""

    name: str
    mark: bytes  # a text of the library that is long, and so found fast
    comment: bool  # stands only in strings that are not loaded (.comment)
    pattern: re.Pattern[bytes]
    end_of_life: dict[str, date]
    before: tuple[int, ...]
    because: str


@lru_cache(maxsize=1)
def known() -> tuple[Known, ...]:
    return tuple(_known(raw) for raw in read_data("libraries.json")["libraries"])


def _known(raw: dict[str, Any]) -> Known:
    return Known(
        name=raw["name"],
        mark=raw["mark"].encode(),
        comment=raw.get("comment", False),
        pattern=re.compile(raw["pattern"].encode()),
        end_of_life={k: date.fromisoformat(v) for k, v in raw.get("end_of_life", {}).items()},
        before=_numbers(raw.get("before", "0")),
        because=raw.get("because", ""),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version))


def scan(data: bytes, elf: Elf) -> tuple[Found, ...]:
    """The libraries whose version strings stand in the ELF file `data`, each version once."""
    found: set[Found] = set()
    for library in known():
        ranges = elf.comments if library.comment else elf.data
        if any(data.find(library.mark, start, end) >= 0 for start, end in ranges):
            found.update(hit for start, end in ranges for hit in _hits(library, data, start, end))
    return tuple(sorted(found))


def _hits(library: Known, data: bytes, start: int, end: int) -> Iterator[Found]:
    branches = "branch" in library.pattern.groupindex
    for match in islice(library.pattern.finditer(data, start, end), _MOST):
        branch = match["branch"].decode() if branches else ""
        yield Found(library.name, match["version"].decode(), branch)


def outdated(found: Found, today: date) -> str | None:
    """Why `found` should be replaced, or None."""
    library = next(one for one in known() if one.name == found.name)
    end = library.end_of_life.get(found.branch)
    if end and end < today:
        since = end.isoformat()
        return f"{found.name} {found.version}: its branch {found.branch} has had no fixes since {since}"
    if library.before and _numbers(found.version) < library.before:
        wanted = ".".join(map(str, library.before))
        return f"{found.name} {found.version}: older than {wanted}, which fixed {library.because}"
    return None


def libc_inside(data: bytes, elf: Elf) -> str | None:
    """ "musl" or "glibc" if the bytes of that libc were linked into the file, else None."""
    for libc, mark in _marks():
        if any(data.find(mark, start, end) >= 0 for start, end in elf.data):
            return libc
    return None


@lru_cache(maxsize=1)
def _marks() -> tuple[tuple[str, bytes], ...]:
    return tuple((raw["libc"], raw["bytes"].encode()) for raw in read_data("libraries.json")["libc_marks"])
