"""What a bundle is held to: policies, a floor, which findings are fatal or ignored."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase

from muslabi.bundle import Bundle
from muslabi.database import AlpineRelease, Database
from muslabi.findings import Finding, catalogue

STANDIN_MARK = "MUSLLINUX_STANDIN"


class TermsError(Exception):
    """A policy, floor or finding code that does not exist. The text names those that do."""


@dataclass(frozen=True)
class Ignore:
    """`CODE` or `CODE=GLOB`: findings that do not count, in files whose name matches the glob."""

    code: str
    glob: str = "*"

    @classmethod
    def parse(cls, text: str) -> Ignore:
        code, _, glob = text.partition("=")
        if code not in catalogue():
            raise TermsError(f"there is no finding {code!r}; there are: {', '.join(sorted(catalogue()))}")
        return cls(code, glob or "*")

    def matches(self, finding: Finding) -> bool:
        return finding.code == self.code and fnmatchcase(finding.file, self.glob)


@dataclass(frozen=True)
class Terms:
    """The caller's wishes. `policy` overrides the tag's; `floor` (a musl release) its oldest Alpine."""

    policy: str | None = None
    floor: str | None = None
    strict_time64: bool = False
    ignore: tuple[Ignore, ...] = ()
    today: date = field(default_factory=date.today)
    standin: bool = field(default_factory=lambda: os.environ.get(STANDIN_MARK) == "1")

    def check(self, database: Database) -> None:
        """Raises TermsError for a policy or floor that the database does not know."""
        if self.policy is not None and self.policy not in database.policies:
            raise TermsError(f"unknown policy {self.policy!r}; known: {', '.join(database.policies)}")
        if self.floor is not None and self.floor not in database.versions:
            first, last = database.versions[0], database.versions[-1]
            raise TermsError(f"unknown musl release {self.floor!r} as floor; known: {first} to {last}")


@dataclass(frozen=True)
class Promise:
    """Where the bundle must run. Empty `systems`: nowhere in particular."""

    policies: tuple[str, ...]
    unknown: tuple[str, ...]  # policies of the tag that the database does not have
    systems: tuple[AlpineRelease, ...]
    oldest: str  # in words


def from_release(database: Database, version: str) -> tuple[AlpineRelease, ...]:
    """The Alpine release `version` and all newer ones."""
    at = [release.version for release in database.releases].index(version)
    return database.releases[at:]


def promise(bundle: Bundle, terms: Terms, database: Database) -> Promise:
    """What the bundle's tags, or the caller instead, promise."""
    named = (terms.policy,) if terms.policy else bundle.wheel.policies if bundle.wheel else ()
    known = tuple(name for name in named if name in database.policies)
    unknown = tuple(name for name in named if name not in database.policies)
    if terms.floor is not None:
        at = database.index(terms.floor)
        systems = tuple(r for r in database.releases if database.index(r.musl) >= at)
        return Promise(known, unknown, (database.upstream(terms.floor), *systems), f"musl {terms.floor}")
    if known:
        oldest = database.policies[known[0]].alpine
        return Promise(known, unknown, from_release(database, oldest), f"Alpine {oldest}")
    return Promise(known, unknown, (), "")
