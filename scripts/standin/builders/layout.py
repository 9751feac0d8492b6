"""Laying out a package: which files come from which tree, and the small changes made to them after that.

A recipe says `take:`, a list whose items are either a path pattern (the file stays where it is) or a mapping:

    from    pattern or list of patterns, as a shell's (`*` stays within a name);
            `folder/**` is everything below every such folder
    to      `folder/` keeps each file's name (for `/**` its path below the folder); no slash: the new path
    follow  true copies what links point to instead of the links

and, applied in this order to what was taken:

    drop:  [pattern, ...]                      need not match
    edit:  {pattern: [[regex, replacement], ...]}   on text, regex in multi-line mode; each must match
    executable: [pattern, ...]                 mode 755 (wheels do not say so)
    write: {path: text}                        mode 755 where the text starts with `#!`
    links: {path: target}
"""

import fnmatch
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standin.errors import StandinError

_TREE = "/**"


@dataclass(frozen=True)
class Rule:
    """One item of `take`; `to` is empty where files stay at their path."""

    patterns: tuple[str, ...]
    to: str = ""
    follow: bool = False


def rules(take: Sequence[Any]) -> list[Rule]:
    """The items of a recipe's `take` as rules. Raises StandinError for a key nobody knows."""
    return [_rule(item) for item in take]


def _rule(item: Any) -> Rule:
    if isinstance(item, str):
        return Rule((item,))
    unknown = set(item) - {"from", "to", "follow"}
    if unknown or "from" not in item:
        raise StandinError(f"take: cannot read {dict(item)!r}", hint="see standin/builders/layout.py")
    patterns = item["from"]
    return Rule(
        (patterns,) if isinstance(patterns, str) else tuple(patterns),
        item.get("to", ""),
        bool(item.get("follow")),
    )


def place(wanted: Sequence[Rule], roots: Sequence[Path], out: Path) -> None:
    """Copy what the rules name from `roots` (all of them are looked through) into `out`.

    Raises StandinError naming a pattern that matches nothing: an upstream package has changed.
    """
    for rule in wanted:
        for pattern in rule.patterns:
            found = [pair for root in roots for pair in _matches(root, pattern)]
            if not found:
                names = ", ".join(root.name for root in roots)
                raise StandinError(f"take: nothing matches {pattern} in {names}", hint="mend the recipe")
            for file, kept in found:
                copy(file, out / _destination(rule, kept, file.name), follow=rule.follow)


def _destination(rule: Rule, kept: Path, name: str) -> Path:
    if not rule.to:
        return kept
    if rule.to.endswith("/"):
        return Path(rule.to, kept) if rule.patterns[0].endswith(_TREE) else Path(rule.to, name)
    return Path(rule.to)


def _matches(root: Path, pattern: str) -> Iterator[tuple[Path, Path]]:
    """Files of `root` that match, each with its path: below the root, or for `/**` rules below the folder."""
    if not pattern.endswith(_TREE):
        for file in matching(root, pattern):
            if file.is_symlink() or not file.is_dir():
                yield file, file.relative_to(root)
        return
    for folder in matching(root, pattern.removesuffix(_TREE)):
        for file in files(folder):
            yield file, file.relative_to(folder)


def matching(root: Path, pattern: str) -> list[Path]:
    """What matches below `root`, sorted; unlike pathlib's glob it sees links that point nowhere yet."""
    found = [root]
    for segment in pattern.split("/"):
        found = [
            folder / name
            for folder in found
            if folder.is_dir()
            for name in sorted(os.listdir(folder))  # noqa: PTH208 - names are what is matched
            if fnmatch.fnmatchcase(name, segment)
        ]
    return found


def files(folder: Path) -> Iterator[Path]:
    """Every file and link below `folder` (a link to a folder is a link), in a stable order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if Path(parent, name).is_symlink()]
        for name in sorted(names + linked):
            yield Path(parent, name)


def copy(source: Path, target: Path, *, follow: bool = False) -> None:
    """Copy one file (or link, unless `follow`) with its mode and time, over whatever is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=follow)


def finish(options: Mapping[str, Any], out: Path) -> None:
    """Apply a recipe's drop, edit, write and links to `out`, in that order."""
    for pattern in options.get("drop", ()):
        for path in matching(out, pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for pattern, changes in options.get("edit", {}).items():
        for path in _some(out, pattern):
            _edit(path, changes)
    for pattern in options.get("executable", ()):
        for path in _some(out, pattern):
            path.chmod(0o755)
    for name, text in options.get("write", {}).items():
        write(out / name, text)
    for name, target in options.get("links", {}).items():
        link(out / name, target)


def _some(out: Path, pattern: str) -> list[Path]:
    found = [path for path in matching(out, pattern) if path.is_file() and not path.is_symlink()]
    if not found:
        raise StandinError(f"nothing matches {pattern} in the package", hint="mend the recipe")
    return found


def _edit(path: Path, changes: Sequence[Sequence[str]]) -> None:
    text = path.read_text(encoding="utf-8")
    for regex, replacement in changes:
        text, count = re.subn(regex, replacement, text, flags=re.MULTILINE)
        if not count:
            raise StandinError(f"edit: {regex} matches nothing in {path.name}", hint="mend the recipe")
    path.write_text(text, encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a text file; one that starts with `#!` becomes executable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755 if text.startswith("#!") else 0o644)


def link(path: Path, target: str) -> None:
    """Make a symbolic link, over whatever is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
