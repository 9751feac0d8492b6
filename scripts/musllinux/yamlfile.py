"""YAML files as trees that remember the line of every key and value, read with bounds: input may be hostile.

Only what configuration needs is understood: mappings with text as keys, lists, and text, numbers, booleans, null.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from musllinux.mistakes import Mistake, Place, Steps

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000  # counted after aliases are expanded, so that an alias bomb stops here

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast; not in every build
_UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE

Plain = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Scalar:
    place: Place
    value: Plain
    text: str  # as written: 3.10, where the value is 3.1


@dataclass(frozen=True, kw_only=True)
class Items:
    place: Place
    items: "tuple[Tree, ...]"


@dataclass(frozen=True, kw_only=True)
class Table:
    place: Place
    entries: "Mapping[str, Entry]"


Tree = Scalar | Items | Table


@dataclass(frozen=True, kw_only=True)
class Entry:
    key: Place
    value: Tree


def read(path: Path) -> tuple[Tree | None, list[Mistake]]:
    """The tree of a file and its mistakes; no tree where the file cannot be understood at all."""
    shown = display(path)
    data, mistake = _content(path, shown)
    if mistake:
        return None, [mistake]
    return parse(data, shown)


def parse(data: bytes, file: str) -> tuple[Tree | None, list[Mistake]]:
    """The tree of a file's bytes; `file` is how messages call it."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return None, [Mistake(Place(file, line), what="is not UTF-8", allowed="text saved as UTF-8")]
    if bad := _UNPRINTABLE.search(text):
        line = text[: bad.start()].count("\n") + 1
        return None, [Mistake(Place(file, line), what=f"not YAML: character U+{ord(bad.group()):04X}")]
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        return None, [_syntax(error, text, file)]
    except (ValueError, OverflowError):  # PyYAML's own limits: escapes beyond Unicode, absurd version numbers
        return None, [Mistake(Place(file, 0), what="not YAML: a number or an escape is out of range")]
    if node is None:
        return None, [Mistake(Place(file, 0), what="is empty", allowed="a mapping, `key: value` lines")]
    reader = _Reader(file)
    return reader.tree(node, ()), reader.mistakes


def plain(tree: Tree) -> Any:
    """The tree as dicts, lists and values."""
    match tree:
        case Scalar():
            return tree.value
        case Items():
            return [plain(item) for item in tree.items]
        case Table():
            return {key: plain(entry.value) for key, entry in tree.entries.items()}


def find(tree: Tree, path: Steps) -> Tree | None:
    """What stands at a path, or None."""
    here: Tree | None = tree
    for step in path:
        match here:
            case Table() if step in here.entries:
                here = here.entries[str(step)].value
            case Items() if isinstance(step, int) and step < len(here.items):
                here = here.items[step]
            case _:
                return None
    return here


def place_of(tree: Tree, path: Steps, *, key: bool = False) -> Place:
    """The line of a value (or of its key); of the nearest thing around it where it is missing."""
    for length in range(len(path), 0, -1):
        parent = find(tree, path[: length - 1])
        step = path[length - 1]
        if isinstance(parent, Table) and step in parent.entries:
            entry = parent.entries[str(step)]
            return entry.key if key or length < len(path) else entry.value.place
        if isinstance(parent, Items) and isinstance(step, int) and step < len(parent.items):
            return parent.items[step].place
    return tree.place


def display(path: Path) -> str:
    """A path as messages show it: relative where the file is below the current directory."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _content(path: Path, shown: str) -> tuple[bytes, Mistake | None]:
    try:
        if path.is_dir():
            return b"", Mistake(Place(shown, 0), what="is a directory", allowed="a YAML file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return b"", Mistake(Place(shown, 0), what="no such file")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        return b"", Mistake(Place(shown, 0), what=f"cannot be read: {reason}")
    if len(data) > MAX_BYTES:
        return b"", Mistake(Place(shown, 0), what="is too large", allowed=f"at most {MAX_BYTES >> 20} MiB")
    return data, None


def _compose(text: str) -> yaml.Node | None:
    """PyYAML's nodes. It composes by recursion: nesting is bounded first, on the stream of events."""
    depth = 0
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            mark: Any = event.start_mark  # the two parsers have a class of their own each
            raise yaml.MarkedYAMLError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
    return yaml.compose(text, LOADER)


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Mistake:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Mistake(Place(file, 0), what=f"not YAML: {error.problem}")
    place, lines = Place(file, mark.line + 1), text.splitlines()
    if mark.line < len(lines) and re.match(r"[ ]*\t", lines[mark.line]):
        return Mistake(place, what="not YAML: a tab", allowed="spaces for indentation")
    what = (error.problem or error.context or "").removeprefix("but ")
    began = error.context_mark
    if error.context and began and began.line != mark.line:
        what += f" ({error.context}, which began on line {began.line + 1})"
    return Mistake(place, what=f"not YAML: {what}")


@dataclass
class _Reader:
    """Turns PyYAML's nodes into a tree, noting mistakes instead of stopping at the first."""

    file: str
    mistakes: list[Mistake] = field(default_factory=list)
    _open: list[int] = field(default_factory=list)  # nodes being read, to see an alias inside its own anchor
    _count: int = 0

    def tree(self, node: yaml.Node, path: Steps) -> Tree | None:
        self._count += 1
        if self._count > MAX_NODES:
            if self._count == MAX_NODES + 1:
                self._note(node, path, f"more than {MAX_NODES} values once its aliases are expanded")
            return None
        if id(node) in self._open or len(self._open) > MAX_DEPTH:
            self._note(node, path, "an alias inside its own anchor")
            return None
        self._open.append(id(node))
        try:
            match node:
                case MappingNode():
                    return self._table(node, path)
                case SequenceNode():
                    items = [self.tree(child, (*path, i)) for i, child in enumerate(node.value)]
                    return Items(place=self._place(node), items=tuple(i for i in items if i is not None))
                case ScalarNode():
                    return self._scalar(node, path)
                case _:
                    raise TypeError(node)  # PyYAML has no fourth kind
        finally:
            self._open.pop()

    def _table(self, node: MappingNode, path: Steps) -> Table:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in entries:
                first = entries[key].key.line
                self._note(key_node, (*path, key), f"duplicate key, first on line {first}")
                continue
            value = self.tree(value_node, (*path, key))
            if value is not None:
                entries[key] = Entry(key=self._place(key_node), value=value)
        return Table(place=self._place(node), entries=entries)

    def _key(self, node: yaml.Node, path: Steps) -> str | None:
        if not isinstance(node, ScalarNode):
            self._note(node, path, "a list or mapping used as a key", "a name")
            return None
        if node.tag == "tag:yaml.org,2002:merge":
            self._note(node, path, "merge keys (<<) are not understood", "the keys written out")
            return None
        scalar = self._scalar(node, path)
        if scalar is None:
            return None
        if not isinstance(scalar.value, str):
            what = f"key {scalar.text} is not text" if scalar.text else "an empty key"
            self._note(node, path, what, f'"{scalar.text}", in quotes' if scalar.text else "a name")
            return None
        return scalar.value

    def _scalar(self, node: ScalarNode, path: Steps) -> Scalar | None:
        text = node.value
        if not text.isprintable() and not text.replace("\n", "").replace("\t", "").isprintable():
            self._note(node, path, "a character that cannot be printed", "printable text")
            return None
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind in {"timestamp", "value"}:  # a date, a lone `=`: text to everybody but YAML 1.1
            kind = "str"
        construct = _CONSTRUCT.get(kind)
        if construct is None:
            self._note(node, path, f"tag {node.tag} is not understood", "text, numbers, true, false, null")
            return None
        try:
            return Scalar(place=self._place(node), value=construct(node), text=text)
        except (ValueError, OverflowError, KeyError, IndexError):  # `0x_`, ten thousand digits, `!!int x`
            self._note(node, path, f"{text[:40]} is not a usable {kind}", "a plain number, or quoted text")
            return None

    def _place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1)

    def _note(self, node: yaml.Node, path: Steps, what: str, allowed: str = "") -> None:
        self.mistakes.append(Mistake(self._place(node), path=path, what=what, allowed=allowed))


_constructor = SafeConstructor()
_CONSTRUCT = {
    "str": lambda node: node.value,
    "null": lambda _: None,
    "bool": _constructor.construct_yaml_bool,
    "int": _constructor.construct_yaml_int,
    "float": _constructor.construct_yaml_float,
}
