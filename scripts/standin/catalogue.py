"""The stand-in's facts as frozen objects: targets (architectures) and recipes (packages).

`targets.yaml` holds one entry per architecture, `policies.yaml` one per policy: the architectures that recipes serve
there, and names whose values stand wherever a recipe says `{name}`. `recipes/*.yaml` hold the packages. A recipe file
looks so:

    policies: [musllinux_1_2, musllinux_1_1]    # those that these recipes serve
    recipes:
      - name: libffi                # Alpine's package name
        version: 3.4.4-r0           # apk's version syntax
        builder: subset             # module standin.builders.subset
        description: ...            # one line (optional)
        repository: main            # or community (optional, main)
        architectures: [x86_64]     # apk names (optional, all)
        policies: [musllinux_1_2]   # of the file's (optional, all)
        packaged: true              # false: an intermediate tree other recipes need, never an .apk (optional)
        depends: [so:libc.musl-x86_64.so.1]
        provides: ["so:libffi.so.8=8.1.2"]
        replaces: [other-package]   # may overwrite that one's files (optional)
        triggers: [/usr/lib/x]      # folders whose change runs scripts.trigger (optional)
        needs: [libffi-build]       # recipes whose trees the builder reads
        scripts: {post-install: "#!/bin/sh\\n..."}
        overrides:                  # replace whole keys: per apk architecture, then per policy, which may have its own
          aarch64: {depends: [...]}
          musllinux_1_1: {version: 3.3-r0, overrides: {aarch64: {depends: [...]}}}
        anything: else              # every other key is the builder's and lands in Recipe.options

Everything is validated here, once; what comes after trusts it.
"""

import importlib.resources
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import yaml

from standin.errors import StandinError
from standin.fields import expand

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
    """One apk package, or (packaged=False) an intermediate tree that other recipes take files from.

    `policy` is the first one that the recipe's file serves: what is the same for several is made once, for all of them.
    """

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
        served = _policies(document, path)
        if policy not in served or apk_arch not in _facts(policy)["architectures"]:
            continue
        for entry in document.get("recipes") or []:
            recipe = _recipe(entry, _Line(policy=policy, apk_arch=apk_arch, served=served), path)
            if recipe is None:
                continue
            if recipe.name in recipes:
                raise StandinError(f"{path.name}: recipe {recipe.name!r} exists twice", hint="rename or remove one")
            recipes[recipe.name] = recipe
    return Catalogue(policy, recipes.values())


@dataclass(frozen=True, kw_only=True)
class _Line:
    """What recipes are read for; `served`: the policies of their file."""

    policy: str
    apk_arch: str
    served: tuple[str, ...]


def _policies(document: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    served = document.get("policies")
    known = load_data("policies.yaml")
    if not isinstance(served, list) or not served or not all(name in known for name in served):
        raise StandinError(
            f"{path.name}: `policies` must be a list of policies, of {', '.join(known)}", hint="see catalogue.py"
        )
    return tuple(served)


def _facts(policy: str) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = load_data("policies.yaml")[policy]
    return facts


def _recipe(entry: Mapping[str, Any], line: _Line, path: Path) -> Recipe | None:
    """The recipe as it is for this line, None where there is none."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise StandinError(f"{path.name}: a recipe is a mapping with a name, not {entry!r}", hint="see catalogue.py")
    known = {field.name for field in fields(Recipe)} - {"options", "policy"}
    try:
        merged = expand(_merged(entry, line), _facts(line.policy)["names"])
        policies = _frozen(merged.pop("policies", list(line.served)))
        values = {key: _frozen(value) for key, value in merged.items() if key in known}
        options = _frozen({key: value for key, value in merged.items() if key not in known})
        recipe = Recipe(policy=line.served[0], options=options, **values)
        _check(recipe)
        _check_some("policies", policies, line.served)
    except (TypeError, ValueError) as error:
        raise StandinError(f"{path.name}: recipe {entry['name']}: {error}", hint="see catalogue.py") from error
    there = not recipe.architectures or line.apk_arch in recipe.architectures
    return recipe if there and line.policy in policies else None


def _merged(entry: Mapping[str, Any], line: _Line) -> dict[str, Any]:
    """The entry with its overrides applied, the more particular after the more general. Raises ValueError."""
    merged = {key: value for key, value in entry.items() if key != "overrides"}
    overrides = entry.get("overrides") or {}
    _check_some("overrides", overrides, [*load_targets(), *line.served])
    merged |= overrides.get(line.apk_arch) or {}
    if line.policy in overrides:
        # within a policy's there are architectures alone
        merged |= _merged(overrides[line.policy], replace(line, served=()))
    return merged


def _check_some(name: str, values: Iterable[str], known: Sequence[str]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        raise ValueError(f"{name}: {', '.join(unknown)} is none of {', '.join(known)}")


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
