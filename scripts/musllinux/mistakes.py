"""Mistakes in a configuration file: where, what, what would be allowed; gathered, then reported all at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from musllinux.redact import redact


@dataclass(frozen=True)
class Place:
    """`file` as messages show it; `line` counts from 1, 0 means the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, kw_only=True)
class Mistake:
    place: Place
    what: str
    path: tuple[str | int, ...] = ()
    allowed: str = ""

    def __init__(self, place: Place, *, what: str, path: Sequence[str | int] = (), allowed: str = "") -> None:
        object.__setattr__(self, "place", place)
        object.__setattr__(self, "what", what)
        object.__setattr__(self, "path", tuple(path))
        object.__setattr__(self, "allowed", allowed)

    def __str__(self) -> str:
        """`file:line: key.path: what; allowed: …`, on one line, without credentials."""
        path = f"{key_path(self.path)}: " if self.path else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return redact(" ".join(f"{self.place}: {path}{self.what}{allowed}".split()))


def key_path(path: Iterable[str | int]) -> str:
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
