"""Weak references in object archives made strong, in place.

GCC up to 9, configured for glibc before 2.34, asks for pthread functions weakly and takes them for present where one of
them is. Out of musl's libc.a the linker then takes some and leaves others out, and the program jumps to address 0. A
GCC for musl (Alpine's) asks for them plainly.
"""

import io
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from standin.errors import StandinError

_MAGIC = b"!<arch>\n"
_HEADER, _SIZE = 60, slice(48, 58)  # ar(5): a member's header, its size in it
_GLOBAL = 1 << 4  # STB_GLOBAL, as st_info has it
_INFO = {32: 12, 64: 4}  # where st_info stands in a symbol


def strengthen(archive: Path, prefix: str) -> None:
    """Make every weak undefined symbol whose name starts with `prefix` a plain one, in all members.

    Raises StandinError if this is no archive, or if there is nothing to change: then its maker has changed.
    """
    data = bytearray(archive.read_bytes())
    if not data.startswith(_MAGIC):
        raise StandinError(f"{archive.name} is no archive", hint="Debian has changed it")
    places = [
        place for start, size in _members(data) for place in _weak(bytes(data[start : start + size]), start, prefix)
    ]
    if not places:
        raise StandinError(f"{archive.name} asks for nothing called {prefix}… weakly", hint="mend the recipe")
    for place in places:
        data[place] = _GLOBAL | data[place] & 0xF
    archive.write_bytes(data)


def _members(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    at = len(_MAGIC)
    while at + _HEADER <= len(data):
        size = int(data[at:][_SIZE])
        yield at + _HEADER, size
        at += _HEADER + size + size % 2


def _weak(member: bytes, start: int, prefix: str) -> Iterator[int]:
    """Where, in the archive, st_info of each such symbol of an ELF member stands."""
    if member[:4] != b"\x7fELF":
        return
    elf = ELFFile(io.BytesIO(member))
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return
    for number, symbol in enumerate(table.iter_symbols()):
        weak = symbol["st_info"]["bind"] == "STB_WEAK" and symbol["st_shndx"] == "SHN_UNDEF"
        if weak and symbol.name.startswith(prefix):
            yield start + table["sh_offset"] + number * table["sh_entsize"] + _INFO[elf.elfclass]
