"""From recipes to trees: each builder runs once, its result is kept under a key made of all that went in."""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standin.apt import Apt
from standin.cache import Cache, digest_of
from standin.catalogue import Catalogue, Recipe, Target, thawed
from standin.errors import StandinError
from standin.inputs import CachedInputs, moved

_LAYOUT = 1  # bump when what lies under a product's folder changes


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A built recipe: its files, and a sum over everything that made them."""

    recipe: Recipe
    path: Path
    identity: str


class Factory:
    """Builds the trees of one target. A tree's needs must have been built first (the catalogue's order)."""

    def __init__(self, cache: Cache, apt: Apt, target: Target, report: Callable[[str], None]) -> None:
        self._cache = cache
        self._apt = apt
        self._target = target
        self._report = report
        self._trees: dict[str, Tree] = {}

    def tree(self, recipe: Recipe, *, recheck: bool = False) -> Tree:
        """The recipe's tree, built now if need be.

        With `recheck` a tree made of Debian packages that have changed since is built anew.
        Raises StandinError naming the recipe, with the builder's log kept beside the cache's products.
        """
        key = self._key(recipe)
        if recheck:
            self._drop_if_moved(recipe, key)
        folder = self._cache.product(key, lambda out: self._build(recipe, out))
        tree = Tree(recipe=recipe, path=folder / "tree", identity=_identity(folder))
        self._trees[recipe.name] = tree
        return tree

    def known(self, catalogue: Catalogue) -> list[Tree]:
        """Every tree of the catalogue that exists already and whose needs exist; nothing is built."""
        for recipe in catalogue:
            if all(need in self._trees for need in recipe.needs):
                folder = self._cache.find(self._key(recipe))
                if folder:
                    self._trees[recipe.name] = Tree(recipe=recipe, path=folder / "tree", identity=_identity(folder))
        return [self._trees[recipe.name] for recipe in catalogue if recipe.name in self._trees]

    def _key(self, recipe: Recipe) -> str:
        made_of = {
            "layout": _LAYOUT,
            "name": recipe.name,
            "version": recipe.version,
            "policy": recipe.policy,
            "builder": [recipe.builder, _builder(recipe).VERSION],
            "options": thawed(recipe.options),
            "target": thawed(vars(self._target)),
            "needs": {name: self._trees[name].identity for name in recipe.needs},
        }
        return f"tree-{recipe.name}-{self._target.apk_arch}-{digest_of(made_of)[:32]}"

    def _build(self, recipe: Recipe, folder: Path) -> None:
        self._report(f"building {recipe.name} {recipe.version} for {self._target.apk_arch}")
        (folder / "tree").mkdir()
        log = self._cache.root / "logs" / f"{recipe.name}-{self._target.apk_arch}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(b"")
        with self._cache.scratch(f"work-{recipe.name}-{self._target.apk_arch}") as work:
            inputs = CachedInputs(
                cache=self._cache,
                apt=self._apt,
                report=self._report,
                trees={name: self._trees[name].path for name in recipe.needs},
                work=work,
                log=log,
            )
            try:
                _builder(recipe).build(recipe, self._target, inputs, folder / "tree")
            except StandinError as error:
                raise StandinError(
                    f"{recipe.name} for {self._target.apk_arch}: {error.message}",
                    hint=error.hint or f"log: {log}",
                ) from error
        (folder / "trace.json").write_text(json.dumps(inputs.trace, indent=1))

    def _drop_if_moved(self, recipe: Recipe, key: str) -> None:
        folder = self._cache.find(key)
        if folder:
            changes = moved(_trace(folder), self._apt)
            if changes:
                self._report(f"{recipe.name}: Debian has changed {', '.join(changes)}")
                self._cache.discard(key)


def _builder(recipe: Recipe) -> Any:
    try:
        return importlib.import_module(f"standin.builders.{recipe.builder}")
    except ModuleNotFoundError as error:
        if error.name not in ("standin.builders", f"standin.builders.{recipe.builder}"):
            raise
        raise StandinError(
            f"recipe {recipe.name}: there is no builder {recipe.builder!r}", hint="see standin/builders/"
        ) from error


def _trace(folder: Path) -> list[Mapping[str, Any]]:
    entries: list[Mapping[str, Any]] = json.loads((folder / "trace.json").read_text())
    return entries


def _identity(folder: Path) -> str:
    return digest_of([folder.name, _trace(folder)])
