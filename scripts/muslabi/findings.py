"""What an audit says: findings with a stable code, a severity, the reason and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from muslabi.database import read_data

ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES = (ERROR, WARNING, INFO)


@dataclass(frozen=True)
class Finding:
    """One thing found in one file (`file` is "" for the wheel as a whole)."""

    code: str
    severity: str
    file: str
    message: str
    remedy: str
    symbols: tuple[str, ...] = ()
    breaks_on: tuple[str, ...] = ()  # "Alpine 3.13"

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "file": self.file,
            "message": self.message,
            "remedy": self.remedy,
            "symbols": list(self.symbols),
            "breaks_on": list(self.breaks_on),
        }


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, Any]]:
    """Every finding there is, by code: severity, title, remedy."""
    codes: dict[str, dict[str, Any]] = read_data("findings.json")["findings"]
    return codes


def find(
    code: str,
    file: str,
    message: str,
    *,
    symbols: tuple[str, ...] = (),
    breaks_on: tuple[str, ...] = (),
    remedy: str = "",
    strict: bool = False,
) -> Finding:
    """A Finding with the catalogue's severity and remedy. `strict` makes an error of one that may be one."""
    entry = catalogue()[code]
    severity = ERROR if strict and entry.get("strict") else entry["severity"]
    return Finding(code, severity, file, message, remedy or entry["remedy"], symbols, breaks_on)


def some(names: tuple[str, ...], most: int = 6) -> str:
    """The first `most` names for a sentence, and how many more there are."""
    shown = ", ".join(names[:most])
    rest = len(names) - most
    return f"{shown} and {rest} more" if rest > 0 else shown
