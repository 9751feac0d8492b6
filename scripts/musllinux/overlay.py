"""Layers of a matrix: a file that `extends` another changes it key by key (docs/overlay.md tells users how).

Mappings merge; text, numbers and plain lists replace; `null` on a mapping drops it; `{add: [...], remove: [...]}`
on a list edits it. Every value keeps the file and line it came from: later mistakes point into the right layer.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from musllinux.mistakes import Mistake, Place, Steps, suggestion
from musllinux.yamlfile import Entry, Items, Scalar, Table, Tree, display, read

EXTENDS = "extends"
SHIPPED = "default"  # `extends: default` means the matrix that comes with the program
EDITS = ("add", "remove")


@dataclass
class Layered:
    """Layers put together: no tree where a layer is unusable.

    `dropped` is what overlays took away on purpose, by path; a list's entry by the list's path and its value.
    """

    tree: Table | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    dropped: dict[Steps, Tree] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    file: Path
    table: Table
    root: bool  # a matrix of its own, no overlay


def load(shipped: Path, overlays: Sequence[Path]) -> Layered:
    """The shipped matrix changed by each overlay in turn; a file without `extends` is a matrix of its own."""
    result = Layered()
    layers: dict[Path, Layer] = {}
    for path in overlays or [shipped]:
        for layer in _chain(path, shipped, result.mistakes):
            layers.setdefault(layer.file.resolve(), layer)
    for layer in layers.values():
        if not layer.root and result.tree is not None:
            result.tree = _Merge(result).tables(result.tree, layer.table, ())
        elif result.tree is None:
            result.tree = layer.table
        else:
            what = f"a second matrix of its own besides {result.tree.place.file}"
            allowed = "`extends: default` in all but one"
            result.mistakes.append(Mistake(_whole(layer.table), what=what, allowed=allowed))
    return result


def merge(base: Table, over: Table) -> Layered:
    """One overlay on a base."""
    result = Layered()
    result.tree = _Merge(result).tables(base, over, ())
    return result


def _chain(path: Path, shipped: Path, mistakes: list[Mistake]) -> list[Layer]:
    """A file and what it extends, the root first; nothing where one of them is unusable."""
    chain: list[Layer] = []
    seen: list[Path] = []
    following: Path | None = path
    while following is not None:
        file = following
        tree, found = read(file)
        mistakes += found
        if not isinstance(tree, Table):
            if tree is not None:
                mistakes.append(Mistake(_whole(tree), what="is not a mapping", allowed="`key: value` lines"))
            return []
        seen.append(file.resolve())
        table, following = _extends(file, tree, shipped, mistakes)
        if following is not None and following.resolve() in seen:
            place = tree.entries[EXTENDS].value.place
            what = f"{display(following)} comes back to this file"
            mistakes.append(Mistake(place, path=(EXTENDS,), what=what))
            return []
        chain.insert(0, Layer(file, table, root=table is tree))
    return chain


def _extends(file: Path, tree: Table, shipped: Path, mistakes: list[Mistake]) -> tuple[Table, Path | None]:
    """A layer without its `extends`, and the file that it names."""
    entry = tree.entries.get(EXTENDS)
    if entry is None:
        return tree, None
    table = Table(place=tree.place, entries={k: v for k, v in tree.entries.items() if k != EXTENDS})
    match entry.value:
        case Scalar(value=str(name)) if name and "\n" not in name:
            named = shipped if name == SHIPPED else file.parent / name
            if os.path.exists(named):  # noqa: PTH110 - Path.exists raises for a name that is too long
                return table, named
            mistakes.append(Mistake(entry.value.place, path=(EXTENDS,), what=f"no such file: {display(named)}"))
            return table, shipped
        case value:
            allowed = "`default`, or the path of another matrix"
            mistakes.append(Mistake(value.place, path=(EXTENDS,), what="not a name", allowed=allowed))
            return table, shipped


def _whole(tree: Tree) -> Place:
    return Place(tree.place.file, 0)


@dataclass(frozen=True)
class _Merge:
    result: Layered

    def tables(self, base: Table, over: Table, path: Steps) -> Table:
        entries = dict(base.entries)
        for key, entry in over.entries.items():
            self._entry(entries, key, entry, (*path, key))
        return Table(place=base.place, entries=entries)

    def _entry(self, entries: dict[str, Entry], key: str, entry: Entry, path: Steps) -> None:
        old, new = entries[key].value if key in entries else None, entry.value
        match old, new:
            case None, Scalar(value=None):
                self._note(new, path, "nothing of this name to drop", suggestion(key, entries))
            case Table(), Scalar(value=None):
                self.result.dropped[path] = old
                del entries[key]
            case Table(), Table():
                entries[key] = Entry(key=entries[key].key, value=self.tables(old, new, path))
            case Items(), Table():
                entries[key] = Entry(key=entry.key, value=self._edited(old, new, path))
            case None, Table() if new.entries and set(new.entries) <= set(EDITS):
                self._note(new, path, "no list of this name to edit", suggestion(key, entries))
            case _:
                entries[key] = entry

    def _edited(self, old: Items, edits: Table, path: Steps) -> Items:
        for key in edits.entries.keys() - set(EDITS):
            place = edits.entries[key].key
            mistake = Mistake(place, path=(*path, key), what="not an edit of a list", allowed="add, remove")
            self.result.mistakes.append(mistake)
        there = {item.value: item for item in old.items if isinstance(item, Scalar)}
        for item in self._entries(edits, "remove", path):
            if item.value in there:
                self.result.dropped[*path, item.text] = there.pop(item.value)
            else:
                known = suggestion(item.text, [scalar.text for scalar in there.values()])
                self._note(item, (*path, "remove"), f"{item.text} is not in the list", known)
        for item in self._entries(edits, "add", path):
            there.setdefault(item.value, item)
        return Items(place=old.place, items=tuple(there.values()))

    def _entries(self, edits: Table, key: str, path: Steps) -> list[Scalar]:
        if key not in edits.entries:
            return []
        listed = edits.entries[key].value
        if not isinstance(listed, Items):
            self._note(listed, (*path, key), "not a list", "[a, b]")
            return []
        for item in listed.items:
            if not isinstance(item, Scalar):
                self._note(item, (*path, key), "a list or mapping inside the list", "names")
        return [item for item in listed.items if isinstance(item, Scalar)]

    def _note(self, tree: Tree, path: Steps, what: str, allowed: str) -> None:
        self.result.mistakes.append(Mistake(tree.place, path=path, what=what, allowed=allowed))
