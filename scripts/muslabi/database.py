"""Which musl, and which Alpine release, exports which dynamic symbol.

The data ship in `muslabi/data`; its README says where every fact comes from. A symbol's history is held
as a bit mask over the known releases, so that "which releases give all of these names" is an AND.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

LFS64_PLACEHOLDER = "@lfs64"  # stands for all LFS64 names in a release's deviations


class DatabaseError(Exception):
    """The packaged or given data do not have the shape they promise."""


@dataclass(frozen=True)
class AlpineRelease:
    """An Alpine release and how its libc differs from the upstream release it is made from."""

    version: str  # "3.13"; "" stands for upstream's own release
    musl: str  # the upstream release, "1.2.2"
    package: str  # Alpine's own version of the package
    end_of_life: str  # ISO date
    evidence: str  # "binary": a libc of it was read; "recipe": only its package recipe
    extra: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    missing_arches: frozenset[str] = frozenset()  # where `missing` holds; empty: everywhere
    features: frozenset[str] = frozenset()  # loader features carried as a backport

    @property
    def name(self) -> str:
        return f"Alpine {self.version}" if self.version else f"musl {self.musl}"

    def lacks(self, arch: str, name: str) -> bool:
        return name in self.missing and (not self.missing_arches or arch in self.missing_arches)


@dataclass(frozen=True)
class Policy:
    """A musllinux policy: what its tag promises, and the oldest Alpine release that keeps the promise."""

    name: str  # "musllinux_1_2"
    minor: str  # "1.2"
    alpine: str  # "3.13"


@dataclass(frozen=True)
class Arch:
    """A port of musl, by its wheel architecture."""

    name: str
    first: str  # first upstream release with the port
    loader: str  # file name of the loader, which is also the libc
    symbols: Mapping[str, str]


@dataclass(frozen=True)
class Database:
    """The history of musl's dynamic symbols. Versions are upstream releases in the order of `versions`."""

    versions: tuple[str, ...]
    arches: Mapping[str, Arch]
    common: Mapping[str, str]
    baseline: frozenset[str]
    lfs64: frozenset[str]
    lfs64_from: str
    lfs64_unresolvable: Mapping[str, tuple[str, ...]]
    releases: tuple[AlpineRelease, ...]
    policies: Mapping[str, Policy]
    time64: Mapping[str, Mapping[str, str]]  # 32-bit arch -> {time64 name: time32 name}
    features: Mapping[str, Mapping[str, str | None]]  # loader feature -> {arch or "*": first release}
    _places: Mapping[str, int]  # version -> its place in `versions`
    _masks: dict[tuple[str, str], int]  # a cache, filled while reading
    _constant: dict[str, frozenset[str]]  # likewise

    def upstream(self, version: str) -> AlpineRelease:
        """Upstream's release as a system of its own. Raises KeyError for an unknown one."""
        self.index(version)
        return AlpineRelease(version="", musl=version, package=version, end_of_life="", evidence="")

    def release(self, version: str) -> AlpineRelease:
        """The Alpine release `version` ("3.13"). Raises KeyError for one the data do not know."""
        for release in self.releases:
            if release.version == version:
                return release
        raise KeyError(version)

    def index(self, version: str) -> int:
        """The place of an upstream release in `versions`. Raises KeyError for an unknown one."""
        return self._places[version]

    def known(self, name: str, arch: str) -> bool:
        """Whether any upstream musl ever exported `name` on `arch`."""
        # First a look that leaves nothing behind: wheels may name millions of things no musl ever had.
        there = name in self.baseline or name in self.common or name in self.arches[arch].symbols
        return there and bool(self.export_mask(arch, name))

    def export_mask(self, arch: str, name: str) -> int:
        """The releases with `name` in their dynamic symbol table, bit i standing for `versions[i]`."""
        key = (arch, name)
        mask = self._masks.get(key)
        if mask is None:
            mask = self._masks[key] = self._read_mask(arch, name)
        return mask

    def _read_mask(self, arch: str, name: str) -> int:
        port = self.arches[arch]
        spec = port.symbols.get(name) or self.common.get(name)
        if spec is None:
            spec = self.versions[0] if name in self.baseline else "none"
        return self._spec_mask(spec) & self._from(port.first)

    def _spec_mask(self, spec: str) -> int:
        mask = 0
        for part in spec.split(",") if spec != "none" else ():
            low, _, high = part.partition("-")
            mask |= self._from(low) & ~(self._from(high) if high else 0)
        return mask

    def _from(self, version: str) -> int:
        return (1 << len(self.versions)) - (1 << self._places[version])

    def resolve_mask(self, arch: str, name: str) -> int:
        """The releases whose loader resolves an undefined `name`: the exports, and the hidden LFS64 names."""
        mask = self.export_mask(arch, name)
        if name not in self.lfs64:
            return mask
        hidden = self._from(self.lfs64_from) & self._from(self.arches[arch].first)
        for version in self.lfs64_unresolvable.get(name, ()):
            hidden &= ~(1 << self.index(version))
        return mask | hidden

    def feature_mask(self, arch: str, feature: str) -> int:
        """The releases whose loader understands a feature of features.json."""
        since = self.features[feature]
        first = since.get(arch, since.get("*"))
        return self._from(first) & self._from(self.arches[arch].first) if first else 0

    def supports(self, arch: str, feature: str, release: AlpineRelease) -> bool:
        """Whether the loader of `release`, its backports included, understands a feature."""
        return feature in release.features or bool(self.feature_mask(arch, feature) >> self.index(release.musl) & 1)

    def constant(self, arch: str) -> frozenset[str]:
        """The names that every release and every Alpine resolves: those no requirement can come from."""
        names = self._constant.get(arch)
        if names is None:
            everywhere = self._from(self.arches[arch].first)
            sometimes = self.arches[arch].symbols.keys() | self.common.keys()
            names = self.baseline.union(sometimes)
            for release in self.releases:
                names -= {name for name in release.missing if release.lacks(arch, name)}
            names = frozenset(n for n in names if self.resolve_mask(arch, n) == everywhere)
            self._constant[arch] = names
        return names

    def exports(self, arch: str, version: str) -> frozenset[str]:
        """The names in the dynamic symbol table of upstream musl `version` on wheel architecture `arch`.

        LFS64 names that left the table are not among them. Raises KeyError for an unknown arch or version.
        """
        bit = 1 << self.index(version)
        names = self.baseline | self.common.keys() | self.arches[arch].symbols.keys()
        return frozenset(name for name in names if self.export_mask(arch, name) & bit)

    def release_exports(self, arch: str, version: str) -> frozenset[str]:
        """As `exports`, for the libc of an Alpine release ("3.15"), its deviations included."""
        release = self.release(version)
        names = self.exports(arch, release.musl) | release.extra
        return frozenset(name for name in names if not release.lacks(arch, name))

    def resolves(self, arch: str, name: str, release: AlpineRelease) -> bool:
        """Whether the libc of `release` gives an undefined `name` to a file that is being loaded."""
        if name in release.extra:
            return True
        if release.lacks(arch, name):
            return False
        return bool(self.resolve_mask(arch, name) >> self.index(release.musl) & 1)


def read_data(name: str) -> Any:
    """The parsed JSON file `name` of the packaged data."""
    data = pkgutil.get_data("muslabi", f"data/{name}")  # importlib.resources costs 12 ms to import
    if data is None:
        raise DatabaseError(f"the installed package lacks data/{name}")
    return json.loads(data)


def _release(raw: Mapping[str, Any], lfs64: frozenset[str]) -> AlpineRelease:
    extra = frozenset(raw.get("extra", ()))
    if LFS64_PLACEHOLDER in extra:
        extra = (extra - {LFS64_PLACEHOLDER}) | lfs64
    return AlpineRelease(
        version=raw["version"],
        musl=raw["musl"],
        package=raw["package"],
        end_of_life=raw["end_of_life"],
        evidence=raw["evidence"],
        extra=extra,
        missing=frozenset(raw.get("missing", ())),
        missing_arches=frozenset(raw.get("missing_arches", ())),
        features=frozenset(raw.get("features", ())),
    )


def build(
    symbols: Mapping[str, Any], alpine: Mapping[str, Any], time64: Mapping[str, Any], features: Mapping[str, Any]
) -> Database:
    """A Database from the parsed data files. Raises DatabaseError where one lacks what it promises."""
    if symbols.get("format") != 1 or alpine.get("format") != 1:
        raise DatabaseError("the symbol data are of another format than this muslabi reads (format 1)")
    try:
        lfs64 = frozenset(symbols["lfs64"]["symbols"])
        return Database(
            versions=tuple(symbols["versions"]),
            arches={a: Arch(a, v["first"], v["ldso"], v["symbols"]) for a, v in symbols["arches"].items()},
            common=symbols["common"],
            baseline=frozenset(symbols["baseline"]),
            lfs64=lfs64,
            lfs64_from=symbols["lfs64"]["from"],
            lfs64_unresolvable={k: tuple(v) for k, v in symbols["lfs64"]["unresolvable"].items()},
            releases=tuple(_release(raw, lfs64) for raw in alpine["releases"]),
            policies={k: Policy(k, v["minor"], v["alpine"]) for k, v in alpine["policies"].items()},
            time64=time64,
            features={name: raw["since"] for name, raw in features["features"].items()},
            _places={version: place for place, version in enumerate(symbols["versions"])},
            _masks={},
            _constant={},
        )
    except (KeyError, TypeError) as error:
        raise DatabaseError(f"the symbol data lack {error}") from error


@lru_cache(maxsize=1)
def load() -> Database:
    """The packaged database, read once."""
    return build(*map(read_data, ("musl-symbols.json", "alpine.json", "time64.json", "features.json")))
