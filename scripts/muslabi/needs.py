"""What one ELF file needs of musl, of Python and of libraries, after everything its own bundle gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from muslabi import glibcnames
from muslabi.bundle import Member
from muslabi.database import AlpineRelease, Database, read_data
from muslabi.scope import PLATFORM_LIBRARIES, Scope

_PYTHON = read_data("python.json")
_PREFIXES: tuple[str, ...] = tuple(_PYTHON["names"]["prefixes"])
_NOT_PYTHON: tuple[str, ...] = tuple(_PYTHON["names"]["not"])


@dataclass(frozen=True)
class Needs:
    """A file's demands. Names are sorted."""

    member: Member
    arch: str
    musl: tuple[str, ...]  # names that some musl releases lack
    python: tuple[str, ...]
    unknown: tuple[str, ...]  # names that nothing gives
    elsewhere: tuple[tuple[str, str], ...]  # (name, file of the bundle outside the file's load groups)
    features: tuple[str, ...]  # of the loader, as in features.json
    outside: tuple[str, ...]  # libraries that must come from elsewhere, those of the platform not counted
    platform: tuple[str, ...]  # libraries that the platform promises
    homeless: bool  # a name is surely no musl's; one that nothing gives may be a missing library's
    mask: int  # upstream releases that satisfy `musl` and `features`; none for the homeless

    def breaks(self, database: Database, release: AlpineRelease) -> bool:
        """Whether the file cannot run on `release` for want of a symbol or a loader feature."""
        if self.homeless:
            return True
        return any(not database.resolves(self.arch, name, release) for name in self.musl) or any(
            not database.supports(self.arch, feature, release) for feature in self.features
        )

    def lowest(self, database: Database) -> str | None:
        """The oldest upstream release it runs on; None if there is none."""
        low = self.mask & -self.mask
        return database.versions[low.bit_length() - 1] if low else None

    def because(self, database: Database) -> tuple[str, ...]:
        """The names and features that the release before `lowest` lacks."""
        lowest = self.lowest(database)
        if lowest is None or lowest == database.arches[self.arch].first:
            return ()
        previous = 1 << (database.index(lowest) - 1)
        names = (n for n in self.musl if not database.resolve_mask(self.arch, n) & previous)
        features = (f for f in self.features if not database.feature_mask(self.arch, f) & previous)
        return (*names, *features)


@lru_cache(maxsize=16)
def _every(first: str, versions: tuple[str, ...]) -> int:
    return ((1 << len(versions)) - 1) & ~((1 << versions.index(first)) - 1)


def every_release(database: Database, arch: str) -> int:
    """The mask of all releases that have the port."""
    return _every(database.arches[arch].first, database.versions)


def is_python(name: str) -> bool:
    """Whether the interpreter gives a name."""
    return name.startswith(_PREFIXES) and not name.startswith(_NOT_PYTHON)


def study(member: Member, scope: Scope, database: Database) -> Needs | None:
    """The needs of a file; None for an architecture that musl's data do not have."""
    arch = member.elf.arch
    if arch is None or arch not in database.arches:
        return None
    open_names = member.elf.required - database.constant(arch)
    python = frozenset(n for n in open_names if is_python(n)) if member.elf.kind == "shared" else frozenset()
    lacking = scope.lacking(member, open_names - python)
    outside = scope.outside(member)
    platform = tuple(name for name in outside if name in PLATFORM_LIBRARIES)
    lacking -= frozenset().union(*(PLATFORM_LIBRARIES[name] for name in platform))
    musl = tuple(sorted(name for name in lacking if database.known(name, arch)))
    unknown, elsewhere = _unknown(lacking.difference(musl), scope)
    features = tuple(sorted(member.elf.features & database.features.keys()))
    outside = tuple(name for name in outside if name not in platform)
    homeless = any(map(glibcnames.entry, unknown)) or bool(unknown and not outside)
    return Needs(
        member=member,
        arch=arch,
        musl=musl,
        python=tuple(sorted(python)),
        unknown=unknown,
        elsewhere=elsewhere,
        features=features,
        outside=outside,
        platform=platform,
        homeless=homeless,
        mask=0 if homeless else _mask(database, arch, musl, features),
    )


def _unknown(names: frozenset[str], scope: Scope) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Names without a giver, split into those another file of the bundle defines and those nothing does."""
    givers = {name: scope.elsewhere(name) for name in sorted(names)}
    nothing = tuple(name for name, giver in givers.items() if giver is None)
    return nothing, tuple((name, giver.name) for name, giver in givers.items() if giver is not None)


def _mask(database: Database, arch: str, names: tuple[str, ...], features: tuple[str, ...]) -> int:
    mask = every_release(database, arch)
    for name in names:
        mask &= database.resolve_mask(arch, name)
    for feature in features:
        mask &= database.feature_mask(arch, feature)
    return mask
