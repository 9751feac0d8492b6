"""The time32/time64 rule for 32-bit musl.

musl >= 1.2 keeps two sets of names there: C compiled against its headers takes the time64 ones, Rust's libc
crate by default the old ones. A file that takes from both hands structures of two sizes about; whether one
crosses is not visible, so it is a warning. Not visible at all: a statically linked musl, raw system calls,
constants such as SO_TIMESTAMP, dlsym at run time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from muslabi.bundle import Member
from muslabi.database import Database, read_data
from muslabi.findings import Finding, find, some
from muslabi.needs import Needs
from muslabi.scope import Scope

_TIME32 = read_data("time32.json")
_EXTRA: frozenset[str] = frozenset(_TIME32["names"])
_NEUTRAL: frozenset[str] = frozenset(_TIME32["neutral"])
_PYTHON: dict[str, str] = read_data("python.json")["time_boundary"]["functions"]
_MANGLED: dict[str, str] = read_data("python.json")["mangled_time_types"]["types"]


@dataclass(frozen=True)
class TimeUse:
    """The names of each set that a file takes from musl, sorted."""

    time32: tuple[str, ...]
    time64: tuple[str, ...]

    @property
    def abi(self) -> str:
        """ "time32", "time64", "mixed" or "none"."""
        if self.time32 and self.time64:
            return "mixed"
        if self.time32:
            return "time32"
        return "time64" if self.time64 else "none"


def use(member: Member, database: Database) -> TimeUse | None:
    """Which time_t a file speaks; None on 64-bit, where there is one only."""
    pairs = database.time64.get(member.elf.arch or "")
    if pairs is None:
        return None
    new = frozenset(pairs) - _NEUTRAL
    old = (frozenset(pairs.values()) | _EXTRA) - _NEUTRAL
    required = member.elf.required
    return TimeUse(tuple(sorted(required & old)), tuple(sorted(required & new)))


def rule_mix(needs: Needs, uses: TimeUse, strict: bool) -> Iterator[Finding]:
    if uses.abi == "mixed":
        yield find(
            "time-mix",
            needs.member.name,
            f"takes 32-bit time_t from {some(uses.time32)} and 64-bit time_t from {some(uses.time64)}",
            symbols=uses.time32 + uses.time64,
            strict=strict,
        )


def rule_boundary(needs: Needs, uses: TimeUse, strict: bool, *, either: bool) -> Iterator[Finding]:
    """Python's own time functions in a file whose time_t is not surely the interpreter's.

    An interpreter on musl >= 1.2 is time64. `either`: the wheel is also promised to musl 1.1, so that no
    choice is right for every interpreter.
    """
    if uses.abi in ("time32", "mixed") or either:
        crossing = tuple(f"{name} ({_PYTHON[name]})" for name in needs.python if name in _PYTHON)
        if crossing:
            yield find(
                "time-python-boundary",
                needs.member.name,
                f"has {uses.abi} time_t and calls {some(crossing)}",
                symbols=tuple(name for name in needs.python if name in _PYTHON),
                strict=strict,
            )


def rule_neighbour(needs: Needs, uses: dict[str, TimeUse], scope: Scope, strict: bool) -> Iterator[Finding]:
    """C++ functions with time types in their names that come from a library of the other time_t."""
    mine = uses[needs.member.path].abi
    if mine not in ("time32", "time64"):
        return
    for name in sorted(needs.member.elf.required):
        kinds = [text for mark, text in _MANGLED.items() if mark in name and name.startswith("_Z")]
        giver = scope.elsewhere(name) if kinds else None
        theirs = uses[giver.path].abi if giver is not None and giver.path in uses else mine
        if giver is not None and theirs in ("time32", "time64") and theirs != mine:
            yield find(
                "time-neighbour",
                needs.member.name,
                f"has {mine} and hands {kinds[0]} to {giver.name}, which has {theirs}",
                symbols=(name,),
                strict=strict,
            )
