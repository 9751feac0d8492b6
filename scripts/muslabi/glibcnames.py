"""Names that glibc has and no musl, with the switch that brings them in (data/glibc-names.json)."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase, translate

from muslabi.database import read_data

_PATTERNS: list[dict[str, str]] = read_data("glibc-names.json")["patterns"]
# All patterns in one: a hostile file may have millions of names that match none.
_ANY = re.compile("|".join(translate(entry["match"]) for entry in _PATTERNS))


def entry(name: str) -> dict[str, str] | None:
    """`why` a name is known to be glibc's and the `remedy`, or None."""
    if not _ANY.match(name):
        return None
    return next((one for one in _PATTERNS if fnmatchcase(name, one["match"])), None)
