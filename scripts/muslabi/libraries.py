"""Versions that libraries tell about themselves in their bytes, and the libc that was linked in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from muslabi.database import read_data
from muslabi.elf import Elf

_WINDOW = 256  # bytes around a key in which its version stands
_BEFORE = 32  # of them, those before the key
_TRIES = 64  # places of a key looked at in one file


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
    key: bytes
    comment: bool  # stands only in what is not loaded (.comment)
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
        key=raw["key"].encode(),
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
    unloaded = ((elf.loaded_to, len(data)),)
    found = {
        hit
        for library in known()
        for start, end in (unloaded if library.comment else elf.data)
        for hit in _hits(library, data, start, end)
    }
    return tuple(sorted(found))


def _hits(library: Known, data: bytes, start: int, end: int) -> set[Found]:
    hits: set[Found] = set()
    place = start - 1
    for _ in range(_TRIES):
        place = data.find(library.key, place + 1, end)
        if place < 0:
            break
        match = library.pattern.search(data, max(0, place - _BEFORE), place + _WINDOW)
        if match:
            version = match["version"].decode()
            branch = match["branch"].decode() if "branch" in library.pattern.groupindex else ""
            hits.add(Found(library.name, version, branch))
            place = max(place, match.end())
    return hits


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
