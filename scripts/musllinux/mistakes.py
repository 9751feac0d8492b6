"""Mistakes in a configuration file: where, what, what would be allowed; gathered, then reported all at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from musllinux.redact import redact

Steps = tuple[str | int, ...]  # keys and list positions from the root of a file


@dataclass(frozen=True)
class Place:
    """`file` as messages show it; `line` counts from 1, 0 means the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Mistake:
    place: Place
    what: str = field(kw_only=True)
    path: Steps = field(default=(), kw_only=True)
    allowed: str = field(default="", kw_only=True)

    def __str__(self) -> str:
        """`file:line: key.path: what; allowed: …`, on one line, without credentials."""
        path = f"{key_path(self.path)}: " if self.path else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return redact(" ".join(f"{self.place}: {path}{self.what}{allowed}".split()))


def key_path(path: Steps) -> str:
    """('policies', 'musllinux_1_2', 'trials', 0) -> policies.musllinux_1_2.trials[0]"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The names there are, and which of them was likely meant: `one of: binutils, gcc (did you mean gcc?)`."""
    there = list(known)
    if not there:
        return "none"
    close = get_close_matches(name, there, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"one of: {', '.join(there)}{meant}"


def report(mistakes: Iterable[Mistake]) -> str:
    """One line each, in the order of the file, each once."""
    ordered = sorted(mistakes, key=lambda m: (m.place.file, m.place.line))
    return "\n".join(dict.fromkeys(str(mistake) for mistake in ordered))
