"""Who gives whom a symbol, by musl's own rules of loading.

One dlopen (or one start of a program) loads a file, its *root*, and everything NEEDED from there. While they
are relocated, musl looks a symbol up in the whole group, whichever member asks (ldso/dynlink.c: dlopen adds
the group's symbols to the global list until it is relocated). What another dlopen loaded is not seen, unless
that was RTLD_GLOBAL, which Python never asks for by itself. So a symbol counts as given only if every root
that leads to the file has a giver in its group.

Libraries are found by file name along the RPATH of the file that needs them and of the files that led to it;
musl compares neither SONAMEs nor looks at libraries loaded by path before.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from functools import cached_property

from muslabi.bundle import Bundle, Member
from muslabi.database import read_data

_PLATFORM = read_data("platform.json")
LIBC_PREFIXES: tuple[str, ...] = tuple(_PLATFORM["libc_prefixes"])
GLIBC_LIBRARIES: frozenset[str] = frozenset(_PLATFORM["glibc_libraries"])
PLATFORM_LIBRARIES: dict[str, frozenset[str]] = {
    name: frozenset(raw["symbols"]) for name, raw in _PLATFORM["libraries"].items()
}


MAX_WORK = 2_000_000  # steps of resolving; the largest wheel of the survey takes 44 thousand


class ScopeError(Exception):
    """The files need each other in more ways than any honest wheel's."""


def is_libc(needed: str) -> bool:
    """Whether musl takes a NEEDED name for itself."""
    return needed.startswith(LIBC_PREFIXES)


class Scope:
    """The load groups of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self.members = bundle.members
        self._by_path: dict[str, Member] = {}
        self._by_base: dict[str, Member] = {}
        for member in bundle.members:
            for path in (member.path, *member.aliases):
                self._by_path.setdefault(path, member)
                self._by_base.setdefault(path.rpartition("/")[2], member)
        self._work = 0
        self._folders = {m.path: tuple(rpath_folders(m)) for m in bundle.members}
        self._needs = {m.path: self._direct(m) for m in bundle.members}
        self._groups = self._load_groups()
        self._of: dict[str, list[tuple[Member, ...]]] = {m.path: [] for m in bundle.members}
        for group in self._groups:
            for member in group:
                self._of[member.path].append(group)

    def _direct(self, member: Member) -> tuple[Member, ...]:
        self._spend(len(member.elf.needed) * (1 + len(member.elf.rpath)))
        found = (self.library(member, name) for name in member.elf.needed)
        return tuple(one for one in found if one is not None and one is not member)

    def library(self, member: Member, needed: str) -> Member | None:
        """The file of the bundle that a NEEDED name means for `member`: by its RPATH, else by name alone."""
        if is_libc(needed):
            return None
        for folder in self._folders.get(member.path, ()):
            found = self._at(folder, needed)
            if found is not None:
                return found
        return self._by_base.get(needed)

    def _spend(self, steps: int) -> None:
        """Counts work before it is done. Raises ScopeError when it is more than any honest wheel's."""
        self._work += steps
        if self._work > MAX_WORK:
            raise ScopeError(f"{len(self.members)} ELF files need each other in too many ways to follow")

    def _foresee(self, group: tuple[Member, ...]) -> None:
        """What looking up a group's symbols and libraries will cost."""
        needed = sum(len(one.elf.needed) for one in group)
        folders = sum(len(one.elf.rpath) for one in group)
        self._spend(len(group) * sum(len(one.elf.required) for one in group) // 16 + needed * folders)

    def _load_groups(self) -> list[tuple[Member, ...]]:
        """A group for each root: a file that no other needs, an extension module, a program."""
        needed = {one.path for members in self._needs.values() for one in members}
        roots = [m for m in self.members if m.path not in needed or is_entry(m)]
        reached: set[str] = set()
        groups = []
        for root in roots:
            group = self._closure(root)
            reached.update(one.path for one in group)
            groups.append(group)
        # Files that only need each other in a circle have no root among them: each may be the one.
        groups.extend(self._closure(m) for m in self.members if m.path not in reached)
        for group in groups:
            self._foresee(group)
        return groups

    def _closure(self, root: Member) -> tuple[Member, ...]:
        order = [root]
        seen = {root.path}
        for member in order:
            self._spend(len(self._needs[member.path]))
            for one in self._needs[member.path]:
                if one.path not in seen:
                    seen.add(one.path)
                    order.append(one)
        return tuple(order)

    def groups(self, member: Member) -> list[tuple[Member, ...]]:
        """The load groups that `member` is part of; the first of each is its root."""
        return self._of[member.path]

    def lacking(self, member: Member, names: frozenset[str]) -> frozenset[str]:
        """Those of `names` that some group of `member` has no definition for."""
        lacking: frozenset[str] = frozenset()
        for group in self.groups(member):
            rest = names
            for one in group:
                rest = rest - one.elf.defined
            lacking |= rest
        return lacking

    @cached_property
    def _definitions(self) -> dict[str, Member]:
        return {name: one for one in reversed(self.members) for name in one.elf.defined}

    def elsewhere(self, name: str) -> Member | None:
        """The first file of the bundle that defines `name`."""
        return self._definitions.get(name)

    def outside(self, member: Member) -> tuple[str, ...]:
        """NEEDED names of `member`'s groups that neither the bundle nor libc answers."""
        names = {
            name
            for group in self.groups(member)
            for one in group
            for name in one.elf.needed
            if not is_libc(name) and self.library(one, name) is None
        }
        return tuple(sorted(names))

    def unreachable(self, member: Member) -> tuple[str, ...]:
        """NEEDED names of `member` that are in the bundle, but on no RPATH that musl would search."""
        return tuple(name for name in member.elf.needed if self._lost(member, name))

    def _lost(self, member: Member, name: str) -> bool:
        target = self.library(member, name)
        if target is None:
            return False
        searched = (one for group in self.groups(member) for one in _ancestry(group, member))
        return not any(self._leads(one, name) for one in searched)

    def _leads(self, member: Member, name: str) -> bool:
        return any(self._at(folder, name) for folder in self._folders[member.path])

    def _at(self, folder: str, name: str) -> Member | None:
        """The file that a name without a slash means in a folder, which is normalised already."""
        return self._by_path.get(f"{folder}/{name}" if folder not in ("", ".") else name)


def _ancestry(group: tuple[Member, ...], member: Member) -> Iterable[Member]:
    """`member` and the files loaded before it, one of which led to it."""
    yield member
    for one in group:
        if one is member:
            return
        yield one


def rpath_folders(member: Member) -> Iterable[str]:
    """The folders of RPATH and RUNPATH that lie in the bundle ($ORIGIN is where the file is)."""
    origin = posixpath.dirname(member.path)
    for part in member.elf.rpath:
        for mark in ("$ORIGIN", "${ORIGIN}"):
            if part == mark or part.startswith(mark + "/"):
                yield posixpath.normpath(posixpath.join(origin, part[len(mark) :].lstrip("/")))


def is_entry(member: Member) -> bool:
    """Whether a file is loaded by itself: a program, or an extension module."""
    if member.elf.kind == "executable":
        return True
    return any(name.startswith("PyInit_") for name in member.elf.defined)
