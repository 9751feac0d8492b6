"""A libc to link against that exports what the oldest supported musl exports, and nothing newer.

Linked against it, configure's checks for newer functions fail and packages compile their fallback. Made from
Debian's musl (its dynamic symbols, with kind, binding and size) less the names in the option `newer`.
Option `soname`: what programs linked against it will need; `sources`: where the real libc.so is, as `library`.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from standin import process
from standin.builders import sources, zig
from standin.builders.names import names_for
from standin.catalogue import Inputs, Recipe, Target
from standin.errors import StandinError
from standin.fields import expand

VERSION = 1


@dataclass(frozen=True)
class Symbol:
    """An exported name; `size` in bytes matters for data only (copy relocations)."""

    name: str
    function: bool
    weak: bool
    size: int


def build(recipe: Recipe, target: Target, inputs: Inputs, out: Path) -> None:
    """Write lib/<loader>, a shared library without code. Raises StandinError if the real one has no symbols."""
    options = expand(recipe.options, names_for(target))
    roots = sources.roots(options["sources"], target, inputs)
    library = next((path for root in roots for path in root.glob(options["library"])), None)
    if library is None:
        raise StandinError(f"no {options['library']} in Debian's musl", hint="mend the recipe")
    text = inputs.work / "stub.s"
    text.write_text(assembly(exported(library), options["newer"], target.bits // 8), encoding="utf-8")
    made = inputs.work / "stub.o"
    process.run([*zig.command(inputs, "clang"), *target.clang, "-c", text, "-o", made])
    stub = out / "lib" / target.loader
    stub.parent.mkdir(parents=True)
    process.run([*zig.command(inputs, "ld.lld"), "-shared", "-soname", options["soname"], "-o", stub, made])


def exported(library: Path) -> list[Symbol]:
    """The dynamic symbols a shared library defines, sorted by name."""
    with library.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".dynsym")
        if not isinstance(table, SymbolTableSection):
            raise StandinError(f"{library.name} has no dynamic symbols")
        return sorted(
            (
                Symbol(
                    name=symbol.name,
                    function=symbol["st_info"]["type"] == "STT_FUNC",
                    weak=symbol["st_info"]["bind"] == "STB_WEAK",
                    size=symbol["st_size"],
                )
                for symbol in table.iter_symbols()
                if symbol.name and symbol["st_shndx"] != "SHN_UNDEF"
            ),
            key=lambda symbol: symbol.name,
        )


def assembly(symbols: Collection[Symbol], newer: Collection[str], align: int) -> str:
    """Assembler text that defines the symbols: functions of one byte, data of its real size in .bss.

    Raises StandinError if one of the newer names is not there: the list belongs to another musl.
    """
    missing = set(newer) - {symbol.name for symbol in symbols}
    if missing:
        raise StandinError(f"musl does not export {', '.join(sorted(missing))}", hint="mend the recipe's list")
    lines = ['.section .note.GNU-stack,"",%progbits']
    for symbol in symbols:
        if symbol.name not in newer:
            lines += _definition(symbol, align)
    return "\n".join(lines) + "\n"


def _definition(symbol: Symbol, align: int) -> Iterator[str]:
    size = 1 if symbol.function else max(symbol.size, 1)
    yield ".text" if symbol.function else ".bss"
    yield f"{'.weak' if symbol.weak else '.globl'} {symbol.name}"
    yield f".type {symbol.name}, {'%function' if symbol.function else '%object'}"
    yield f".size {symbol.name}, {size}"
    if not symbol.function:
        yield f".balign {align}"
    yield f"{symbol.name}:"
    yield f".skip {size}"
