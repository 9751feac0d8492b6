"""Making what the stand-in serves: plans the work as jobs, runs them, answers with everything there is."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from standin import apkpack, mirror
from standin.apt import Apt
from standin.archives import Archive, Archives, UnavailableError
from standin.bases import Base, Bases, Source
from standin.cache import Cache, digest_of
from standin.catalogue import Catalogue, Recipe, Target, load_catalogue, load_data, thawed
from standin.errors import StandinError
from standin.factory import Factory, Tree
from standin.jobs import Job, run_all

_LAYOUT = 1  # bump when what lies under a packed product's folder changes


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to make: apk's architectures, policies, series of CPython, (unless empty) only some recipes.

    `native`: packages that are made for `machine` (apk's name of the one that builds) besides.
    A series that Debian does not have just now is an error only if it is in `pythons_required`.
    """

    architectures: tuple[str, ...]
    policies: tuple[str, ...]
    pythons: tuple[str, ...]
    pythons_required: tuple[str, ...]
    only: tuple[str, ...]
    native: tuple[str, ...]
    machine: str
    recipes: Path | None  # a folder instead of the package's own
    refresh: bool


@dataclass(frozen=True, kw_only=True)
class Line:
    """One policy's packages for one architecture, with their repository, and the base they go onto."""

    policy: str
    target: Target
    base: Base
    packages: tuple[tuple[str, mirror.Package], ...]


@dataclass(frozen=True, kw_only=True)
class Stock:
    """Everything there is, also from earlier runs."""

    bases: tuple[Base, ...]
    lines: tuple[Line, ...]
    archives: tuple[Archive, ...]
    without: Mapping[str, str]  # series of CPython that could not be had, with the reason
    registry: Path  # the registry's program


@dataclass(frozen=True, kw_only=True)
class _Workshop:
    """Where the trees of one policy and architecture are made."""

    policy: str
    target: Target
    catalogue: Catalogue
    factory: Factory


class Stocker:
    """Makes what a request asks for and is not there yet."""

    def __init__(
        self,
        *,
        cache: Cache,
        apt: Apt,
        key: apkpack.SigningKey,
        bases: Bases,
        archives: Archives,
        targets: Sequence[Target],
        report: Callable[[str], None],
    ) -> None:
        self._cache = cache
        self._apt = apt
        self._key = key
        self._bases = bases
        self._archives = archives
        self._targets = targets
        self._report = report
        self._sources = {target.apk_arch: bases.sources(target.apk_arch) for target in targets}
        self._fetched: dict[str, Archive] = {}
        self._without: dict[str, str] = {}
        self._registry: list[Path] = []

    def fill(self, request: Request, workers: int) -> Stock:
        """Make what is missing, `workers` products at a time. Raises StandinError at the first failure."""
        workshops = [
            _Workshop(
                policy=policy,
                target=target,
                catalogue=load_catalogue(policy, target.apk_arch, request.recipes),
                factory=Factory(self._cache, self._apt, target, self._report),
            )
            for policy in request.policies
            for target in self._targets
        ]
        _check(request, workshops)
        run_all(dict(self._jobs(request, workshops)), workers)
        bases = [self._bases.known(source) for sources in self._sources.values() for source in sources]
        there = tuple(base for base in bases if base)
        archives = {each.version: each for each in (*self._archives.known(), *self._fetched.values())}
        return Stock(
            bases=there,
            lines=tuple(self._lines(workshops, there)),
            archives=tuple(archives[version] for version in sorted(archives)),
            without=dict(self._without),
            registry=self._registry[0],
        )

    def _jobs(self, request: Request, workshops: Sequence[_Workshop]) -> Iterator[tuple[str, Job]]:
        yield "registry", Job(run=self._unpack_registry)
        for series in request.pythons:
            yield f"CPython {series}", Job(run=partial(self._fetch, series, series in request.pythons_required))
        builder = [request.machine] if request.native else []
        for name in dict.fromkeys([*request.architectures, *builder]):
            for source in self._required_bases(name, request.policies):
                yield f"base {source.version} {name}", Job(run=partial(self._bases.base, source))
        for workshop in workshops:
            yield from self._package_jobs(workshop, request, _chosen(workshop, request))

    def _package_jobs(
        self, workshop: _Workshop, request: Request, chosen: Iterable[Recipe]
    ) -> Iterator[tuple[str, Job]]:
        prefix = f"{workshop.policy}/{workshop.target.apk_arch}"
        for recipe in chosen:
            yield (
                f"{prefix}/{recipe.name}",
                Job(
                    run=partial(self._make, workshop, recipe, request.refresh),
                    after=[f"{prefix}/{need}" for need in recipe.needs],
                ),
            )

    def _make(self, workshop: _Workshop, recipe: Recipe, refresh: bool) -> None:
        tree = workshop.factory.tree(recipe, recheck=refresh)
        if recipe.packaged:
            self._pack(tree, workshop.target)

    def _pack(self, tree: Tree, target: Target) -> mirror.Package:
        metadata = _metadata(tree.recipe, target)
        sums = digest_of([_LAYOUT, apkpack.VERSION, self._key.name, tree.identity, _plain(metadata)])

        def build(folder: Path) -> None:
            entry = apkpack.pack(metadata, tree.path, folder / metadata.file_name, self._key)
            (folder / "entry.json").write_text(json.dumps(entry))

        folder = self._cache.product(f"apk-{metadata.name}-{target.apk_arch}-{sums[:32]}", build)
        entry = json.loads((folder / "entry.json").read_text())
        return mirror.Package(path=folder / metadata.file_name, entry=entry)

    def _required_bases(self, apk_arch: str, policies: Sequence[str]) -> Sequence[Source]:
        sources = self._sources[apk_arch]
        for policy in policies:
            if self._bases.build_version(policy, sources) is None:
                raise StandinError(
                    f"there is no base to build {policy} on for {apk_arch}",
                    hint="give Alpine's minirootfs tarballs with --minirootfs FOLDER",
                )
        return sources

    def _fetch(self, series: str, required: bool) -> None:
        try:
            self._fetched[series] = self._archives.archive(series)
        except UnavailableError as error:
            if required:
                raise
            self._report(f"CPython {series} is left out: {error.message}")
            self._without[series] = error.message

    def _unpack_registry(self) -> None:
        """Debian's docker-registry, as a product of its own: asking apt which one is current takes seconds."""
        facts = load_data("services.yaml")["registry"]
        name = Path(facts["program"]).name

        def build(folder: Path) -> None:
            [(_, tree)] = self._apt.debs(facts["suite"], self._apt.native, [facts["package"]])
            shutil.copy2(tree / facts["program"], folder / name)

        folder = self._cache.product(f"program-{name}-{digest_of([_LAYOUT, thawed(facts)])[:32]}", build)
        self._registry.append(folder / name)

    def _lines(self, workshops: Sequence[_Workshop], bases: Sequence[Base]) -> Iterator[Line]:
        for workshop in workshops:
            arch = workshop.target.apk_arch
            version = self._bases.build_version(workshop.policy, self._sources[arch])
            base = next((base for base in bases if (base.apk_arch, base.version) == (arch, version)), None)
            if base:
                trees = [tree for tree in workshop.factory.known(workshop.catalogue) if tree.recipe.packaged]
                packages = tuple((tree.recipe.repository, self._pack(tree, workshop.target)) for tree in trees)
                yield Line(policy=workshop.policy, target=workshop.target, base=base, packages=packages)


def _chosen(workshop: _Workshop, request: Request) -> Iterable[Recipe]:
    """What of a catalogue is made now: all of it, only some, what the native stages need, or nothing."""
    catalogue, arch = workshop.catalogue, workshop.target.apk_arch
    if arch in request.architectures:
        only = [name for name in request.only if name in catalogue]
        return catalogue.closure(only) if request.only else catalogue
    return catalogue.closure(catalogue.drawn_in(request.native) if arch == request.machine else ())


def _check(request: Request, workshops: Sequence[_Workshop]) -> None:
    """Raises StandinError for an `only` that no asked-for catalogue has."""
    asked = [workshop for workshop in workshops if workshop.target.apk_arch in request.architectures]
    for name in request.only:
        if not any(name in workshop.catalogue for workshop in asked):
            known = sorted({recipe.name for workshop in asked for recipe in workshop.catalogue})
            raise StandinError(f"no recipe named {name!r}", hint=f"there are: {', '.join(known)}")


def _metadata(recipe: Recipe, target: Target) -> apkpack.Metadata:
    return apkpack.Metadata(
        name=recipe.name,
        version=recipe.version,
        arch=target.apk_arch,
        description=recipe.description,
        depends=recipe.depends,
        provides=recipe.provides,
        replaces=recipe.replaces,
        triggers=recipe.triggers,
        scripts=dict(recipe.scripts),
    )


def _plain(metadata: apkpack.Metadata) -> dict[str, object]:
    return {**vars(metadata), "scripts": dict(metadata.scripts)}
