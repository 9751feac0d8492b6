"""The stand-in's facts as frozen objects: targets (architectures) and recipes (packages).

`targets.yaml` holds one entry per architecture; `recipes/*.yaml` hold the packages. A recipe file looks so:

    policy: musllinux_1_2           # the policy these recipes serve
    recipes:
      - name: libffi                # Alpine's package name
        version: 3.4.4-r0           # apk's version syntax
        builder: subset             # module standin.builders.subset
        description: ...            # one line (optional)
        repository: main            # or community (optional, main)
        architectures: [x86_64]     # apk names (optional, all)
        packaged: true              # false: an intermediate tree other recipes need, never an .apk (optional)
        depends: [so:libc.musl-x86_64.so.1]
        provides: ["so:libffi.so.8=8.1.2"]
        replaces: [other-package]   # may overwrite that one's files (optional)
        triggers: [/usr/lib/x]      # folders whose change runs scripts.trigger (optional)
        needs: [libffi-build]       # recipes whose trees the builder reads
        scripts: {post-install: "#!/bin/sh\\n..."}
        overrides: {aarch64: {depends: [...]}}   # per apk architecture: replaces whole keys
        anything: else              # every other key is the builder's and lands in Recipe.options

Everything is validated here, once; what comes after trusts it.
"""

import importlib.resources
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import yaml

from standin.errors import StandinError

REPOSITORIES = ("main", "community")
# Names of the scripts apk knows, without the leading dot they have in the control segment.
SCRIPTS = (
    "pre-install",
    "post-install",
    "pre-upgrade",
    "post-upgrade",
    "pre-deinstall",
    "post-deinstall",
    "trigger",
)

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One architecture; see targets.yaml for the meaning of each field."""

    apk_arch: str
    wheel_arch: str
    platform: str
    architecture: str
    variant: str
    triple: str
    debian_arch: str
    debian_triple: str
    clang: tuple[str, ...]
    loader: str
    musl_arch: str
    kernel_arch: str
    bits: int
    personality: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One apk package, or (packaged=False) an intermediate tree that other recipes take files from."""

    name: str
    version: str
    builder: str
    policy: str
    description: str = ""
    repository: str = "main"
    architectures: tuple[str, ...] = ()
    packaged: bool = True
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    options: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)


class Inputs(Protocol):
    """What a builder may take from outside.

    Every path it answers with lies in the cache and is shared: read it, copy from it, never write into it.
    Builds run in threads, two at a time: no chdir, no os.environ, no umask; `process.run` takes cwd and env.
    """

    @property
    def work(self) -> Path:
        """An empty scratch folder of this build; thrown away afterwards."""

    @property
    def log(self) -> Path:
        """The build's log file: give it to `standin.process.run(..., log=inputs.log)`."""

    def deb(self, suite: str, arch: str, package: str) -> Path:
        """The unpacked tree of one binary package; suite and architecture are Debian's names.

        Packages of architecture `all` are found through any architecture.
        """

    def debs(self, suite: str, arch: str, packages: Sequence[str]) -> list[Path]:
        """The same for several at once, in the order asked for: one round trip to the mirror."""

    def source(self, suite: str, package: str) -> list[Path]:
        """Upstream's tarballs in a source package, checked by apt, sorted by name."""

    def wheel(
        self,
        requirement: str,
        sha256: str | None = None,
        platform: str | None = None,
        python: str | None = None,
    ) -> Path:
        """The unpacked tree of one wheel of `name==version`.

        `sha256` is the wheel file's own sum and must be given: it pins the file. `platform` is pip's
        --platform tag and `python` a CPython version ("3.11"), for wheels pip would not choose here.
        """

    def tree(self, recipe: str) -> Path:
        """The tree of a recipe named in `needs`, already built for this target."""


class Catalogue:
    """The recipes of one policy, in an order in which each comes after everything it needs."""

    def __init__(self, policy: str, recipes: Iterable[Recipe]) -> None:
        self.policy = policy
        self._recipes = {recipe.name: recipe for recipe in _ordered(recipes)}

    def __iter__(self) -> Iterator[Recipe]:
        return iter(self._recipes.values())

    def __len__(self) -> int:
        return len(self._recipes)

    def __contains__(self, name: object) -> bool:
        return name in self._recipes

    def __getitem__(self, name: str) -> Recipe:
        try:
            return self._recipes[name]
        except KeyError:
            raise StandinError(
                f"no recipe named {name!r} for {self.policy}",
                hint=f"there are: {', '.join(sorted(self._recipes))}",
            ) from None

    def closure(self, names: Iterable[str]) -> "Catalogue":
        """Only the named recipes and what they need."""
        wanted: set[str] = set()
        queue = list(names)
        while queue:
            recipe = self[queue.pop()]
            if recipe.name not in wanted:
                wanted.add(recipe.name)
                queue.extend(recipe.needs)
        return Catalogue(self.policy, [recipe for recipe in self._recipes.values() if recipe.name in wanted])

    def drawn_in(self, packages: Iterable[str]) -> list[str]:
        """The recipes whose packages `apk add` of these would install; what no recipe gives is the base's."""
        packed = [recipe for recipe in self if recipe.packaged]
        givers = {name: recipe for recipe in packed for name in (*_names(recipe.provides), recipe.name)}
        wanted: dict[str, Recipe] = {}
        queue = _names(packages)
        while queue:
            recipe = givers.get(queue.pop())
            if recipe and recipe.name not in wanted:
                wanted[recipe.name] = recipe
                queue.extend(_names(recipe.depends))
        return sorted(wanted)


def _names(words: Iterable[str]) -> list[str]:
    """Names without apk's conditions: gcc=14.2.0-r0 is gcc."""
    return [re.split("[=<>~]", word, maxsplit=1)[0] for word in words]


@cache
def load_targets() -> Mapping[str, Target]:
    """Every architecture of targets.yaml by apk name, in the file's order."""
    entries = load_data("targets.yaml")
    return MappingProxyType(
        {
            name: Target(apk_arch=name, **{key: _frozen(value) for key, value in entry.items()})
            for name, entry in entries.items()
        }
    )


def load_data(name: str) -> Mapping[str, Any]:
    """One of the package's data files, frozen."""
    document: Mapping[str, Any] = _frozen(_yaml(Path(str(importlib.resources.files("standin") / name))))
    return document


def load_catalogue(policy: str, apk_arch: str, folder: Path | None = None) -> Catalogue:
    """The recipes of `policy` that exist for `apk_arch`, overrides applied.

    `folder` replaces the package's own recipes folder (tests use that).
    Raises StandinError for anything wrong in a recipe file, naming the file and the recipe.
    """
    folder = folder or Path(str(importlib.resources.files("standin") / "recipes"))
    recipes: dict[str, Recipe] = {}
    for path in sorted(folder.glob("*.yaml")):
        document = _yaml(path)
        if document.get("policy") != policy:
            continue
        for entry in document.get("recipes") or []:
            recipe = _recipe(entry, policy, apk_arch, path)
            if recipe.name in recipes:
                raise StandinError(f"{path.name}: recipe {recipe.name!r} exists twice", hint="rename or remove one")
            if not recipe.architectures or apk_arch in recipe.architectures:
                recipes[recipe.name] = recipe
    return Catalogue(policy, recipes.values())


def _recipe(entry: Mapping[str, Any], policy: str, apk_arch: str, path: Path) -> Recipe:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise StandinError(f"{path.name}: a recipe is a mapping with a name, not {entry!r}", hint="see catalogue.py")
    merged = {key: value for key, value in entry.items() if key != "overrides"}
    merged |= (entry.get("overrides") or {}).get(apk_arch) or {}
    known = {field.name for field in fields(Recipe)} - {"options", "policy"}
    values = {key: _frozen(value) for key, value in merged.items() if key in known}
    options = _frozen({key: value for key, value in merged.items() if key not in known})
    try:
        recipe = Recipe(policy=policy, options=options, **values)
        _check(recipe)
    except (TypeError, ValueError) as error:
        raise StandinError(f"{path.name}: recipe {entry['name']}: {error}", hint="see catalogue.py") from error
    return recipe


def _check(recipe: Recipe) -> None:
    for name in ("depends", "provides", "replaces", "triggers", "needs", "architectures"):
        value = getattr(recipe, name)
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{name} must be a list of strings")
    for name in ("version", "builder", "description", "repository"):
        if not isinstance(getattr(recipe, name), str):
            raise ValueError(f"{name} must be a string (quote it)")
    if recipe.repository not in REPOSITORIES:
        raise ValueError(f"repository must be one of {', '.join(REPOSITORIES)}")
    unknown = set(recipe.scripts) - set(SCRIPTS)
    if unknown:
        raise ValueError(f"apk knows no script called {', '.join(sorted(unknown))}")


def _ordered(recipes: Iterable[Recipe]) -> list[Recipe]:
    by_name = {recipe.name: recipe for recipe in recipes}
    done: dict[str, Recipe] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in trail:
            raise StandinError(f"recipes need each other in a circle: {' -> '.join((*trail, name))}")
        if name not in by_name:
            raise StandinError(f"recipe {trail[-1]} needs {name}, which does not exist", hint="mend its `needs`")
        for need in by_name[name].needs:
            visit(need, (*trail, name))
        done[name] = by_name[name]

    for name in by_name:
        visit(name, ())
    return list(done.values())


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value


def thawed(value: Any) -> Any:
    """The plain lists and dicts behind a frozen value, for JSON."""
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [thawed(item) for item in value]
    return value


@cache
def _yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        place = " ".join(str(error).split())
        raise StandinError(f"{path.name} is not YAML: {place}", hint="mend the file") from error
    if not isinstance(document, dict):
        raise StandinError(f"{path.name} must hold a mapping", hint="mend the file")
    return document
