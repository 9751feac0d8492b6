"""`python -m muslabi.extend LIBC...`: holds libc files against the database, and writes what they add.

The files are those of one release, one for each architecture: an upstream release that the database does not
have yet, or (with --alpine) a distribution's, whose deviations from the upstream release are noted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muslabi import database
from muslabi.elf import ElfError, read

# musl keeps its version as a string of its own (src/internal/version.c).
_VERSION = re.compile(rb"(?<![\w.])(1\.\d\.\d{1,2})(?:[-_][\w.-]{1,40})?\x00")
_LINKER_MADE = {"_end", "_edata", "__bss_start", "__bss_start__", "__bss_end__", "_bss_end__", "__end__"}
_WIDTH = 140


class ExtendError(Exception):
    """The given files cannot be put into the database. The text says why."""


@dataclass(frozen=True)
class Libc:
    """A libc file: what it is and what it exports."""

    path: Path
    arch: str
    version: str
    exports: frozenset[str]
    sha256: str


@dataclass(frozen=True)
class Difference:
    """Names a libc has beyond, and lacks from, the upstream release of its version."""

    extra: frozenset[str]
    missing: frozenset[str]


def read_libc(path: Path, version: str | None = None) -> Libc:
    """The libc at `path`; its version is read from it unless given. Raises ExtendError, OSError."""
    data = path.read_bytes()
    try:
        elf = read(data)
    except ElfError as error:
        raise ExtendError(f"{path}: {error}") from error
    if elf.arch is None or "__libc_start_main" not in elf.defined:
        raise ExtendError(f"{path} is not a musl libc of an architecture that wheels have")
    told = sorted({match[1].decode() for match in _VERSION.finditer(data)})
    if version is None and len(told) != 1:
        raise ExtendError(f"{path} does not tell its version ({', '.join(told) or 'none'}): give --musl")
    exports = elf.defined - _LINKER_MADE
    return Libc(path, elf.arch, version or told[0], exports, hashlib.sha256(data).hexdigest())


def compare(libc: Libc, known: database.Database) -> Difference:
    """The deviations of a libc from the upstream release of its version. Raises KeyError for an unknown one."""
    upstream = known.exports(libc.arch, libc.version)
    return Difference(libc.exports - upstream, upstream - libc.exports)


def spec_of(mask: int, versions: list[str]) -> str:
    """The spec (`LO-HI,LO`, or `none`) of a mask over `versions`."""
    parts = []
    start = None
    for place in range(len(versions) + 1):
        inside = place < len(versions) and mask >> place & 1
        if inside and start is None:
            start = versions[place]
        elif not inside and start is not None:
            parts.append(start if place == len(versions) else f"{start}-{versions[place]}")
            start = None
    return ",".join(parts) or "none"


def add_upstream(symbols: dict[str, Any], libcs: list[Libc], known: database.Database, origin: str) -> None:
    """Appends the release of `libcs`, newer than all known ones, to the raw data `symbols`.

    Names of architectures that are not given are taken to live on.
    """
    version = libcs[0].version
    if _numbers(version) <= _numbers(known.versions[-1]):
        raise ExtendError(f"musl {version} is not newer than {known.versions[-1]}, the newest in the database")
    symbols["versions"].append(version)
    bit = 1 << len(known.versions)
    for libc in libcs:
        table = symbols["arches"][libc.arch]["symbols"]
        live_on = known.exports(libc.arch, known.versions[-1])
        for name in sorted(libc.exports ^ live_on):
            mask = known.export_mask(libc.arch, name) | (bit if name in libc.exports else 0)
            table[name] = spec_of(mask, symbols["versions"])
        symbols["evidence"][libc.arch]["binary"].append(version)
    note_sources(symbols, libcs, origin, version)


def note_sources(symbols: dict[str, Any], libcs: list[Libc], origin: str, package: str) -> None:
    for libc in libcs:
        source = {"musl": libc.version, "package": package, "origin": origin}
        symbols["sources"].append({**source, "arch": libc.arch, "sha256": libc.sha256})


def alpine_entry(
    release: str, package: str, end_of_life: str, libcs: list[Libc], known: database.Database
) -> dict[str, Any]:
    """The entry of alpine.json for a release whose libc files are given. Raises ExtendError."""
    differences = {libc.arch: compare(libc, known) for libc in libcs}
    extra = frozenset.union(*(one.extra for one in differences.values()))
    missing = frozenset.union(*(one.missing for one in differences.values()))
    for arch, one in differences.items():
        if one.extra != extra:
            raise ExtendError(f"{arch} lacks extra names that others have: {', '.join(sorted(extra - one.extra))}")
    entry: dict[str, Any] = {
        "version": release,
        "musl": libcs[0].version,
        "package": package,
        "end_of_life": end_of_life,
        "evidence": f"binary ({', '.join(sorted(differences))})",
    }
    lacking = sorted(arch for arch, one in differences.items() if one.missing)
    return {
        **entry,
        **({"extra": sorted(extra)} if extra else {}),
        **({"missing": sorted(missing)} if missing else {}),
        **({"missing_arches": lacking} if lacking and len(lacking) < len(differences) else {}),
    }


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def render(value: Any, indent: int = 0) -> str:
    """JSON with short things on one line and long lists filled to a width, so that diffs stay readable."""
    flat = json.dumps(value)
    if len(flat) + indent <= _WIDTH or not isinstance(value, (dict, list)):
        return flat
    pairs = value.items() if isinstance(value, dict) else None
    children = (
        [f"{json.dumps(key)}: {render(child, indent + 1)}" for key, child in pairs]
        if pairs is not None
        else [render(child, indent + 1) for child in value]
    )
    opening, closing = "{}" if pairs is not None else "[]"
    return "\n".join([opening, *_fill(children, " " * (indent + 1)), " " * indent + closing])


def _fill(children: list[str], margin: str) -> Iterator[str]:
    line = margin
    for number, child in enumerate(children):
        text = child + ("," if number < len(children) - 1 else "")
        room = len(line) + 1 + len(text) <= _WIDTH and "\n" not in text
        if line != margin and not room:
            yield line
            line = margin
        line += text if line == margin else " " + text
    yield line


def write(folder: Path, name: str, data: Mapping[str, Any]) -> None:
    """Replaces a data file, whole or not at all."""
    target = folder / name
    temporary = target.with_name(f".{name}.{os.getpid()}")
    temporary.write_text(render(data) + "\n", encoding="utf-8")
    temporary.replace(target)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m muslabi.extend", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("libc", nargs="+", type=Path, help="a libc file (ld-musl-*.so.1), one an architecture")
    parser.add_argument("--musl", metavar="VERSION", help="its upstream release, where the file does not tell")
    parser.add_argument("--origin", default="", help="where the files are from, for the record")
    parser.add_argument("--alpine", metavar="X.YY", help="they are those of this Alpine release")
    parser.add_argument("--package", default="", help="the version of its musl package")
    parser.add_argument("--end-of-life", default="", metavar="DATE", help="of the Alpine release")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write into these data; else only compare")
    return parser


def _report(libcs: list[Libc], known: database.Database) -> None:
    for libc in libcs:
        if libc.version not in known.versions:
            names = libc.exports ^ known.exports(libc.arch, known.versions[-1])
            print(f"{libc.path}: musl {libc.version} {libc.arch}: not in the database; {len(names)} names changed")
            continue
        one = compare(libc, known)
        extra, missing = (", ".join(sorted(names)) or "none" for names in (one.extra, one.missing))
        print(f"{libc.path}: musl {libc.version} {libc.arch}: extra: {extra}; missing: {missing}")


def _extend(given: argparse.Namespace, libcs: list[Libc]) -> None:
    symbols = json.loads((given.write / "musl-symbols.json").read_text(encoding="utf-8"))
    alpine = json.loads((given.write / "alpine.json").read_text(encoding="utf-8"))
    known = database.build(symbols, alpine, {}, {"features": {}})
    if libcs[0].version not in known.versions:
        add_upstream(symbols, libcs, known, given.origin)
        known = database.build(symbols, alpine, {}, {"features": {}})
    elif given.alpine:
        note_sources(symbols, libcs, given.origin, given.package)
    else:
        raise ExtendError(f"musl {libcs[0].version} is in the database already; name a release with --alpine")
    if given.alpine:
        entry = alpine_entry(given.alpine, given.package, given.end_of_life, libcs, known)
        others = [one for one in alpine["releases"] if one["version"] != given.alpine]
        alpine["releases"] = sorted([*others, entry], key=lambda one: _numbers(one["version"]))
        write(given.write, "alpine.json", alpine)
    write(given.write, "musl-symbols.json", symbols)


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 the files cannot be read or do not fit."""
    given = _parser().parse_args(argv)
    try:
        libcs = [read_libc(path, given.musl) for path in given.libc]
        if len({libc.version for libc in libcs}) > 1 or len({libc.arch for libc in libcs}) < len(libcs):
            raise ExtendError("the files are not of one release, one for each architecture")
        _report(libcs, database.load())
        if given.write:
            _extend(given, libcs)
    except OSError as error:
        print(f"muslabi.extend: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (ExtendError, database.DatabaseError, json.JSONDecodeError) as error:
        print(f"muslabi.extend: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
