"""A small, hardened reader of what a loader reads in an ELF file. It runs nothing and trusts nothing.

Why not pyelftools: it takes about 100 microseconds a symbol by way of the dynamic table (measured, docs/muslabi.md),
and muslabi has 30 ms for a wheel of 1 MB. Only program headers and the dynamic table are
believed, as the loader does; section headers merely help to count symbols and to find compilers' comments.

Sources: the System V gABI (ELF-32, ELF-64), the processor supplements for relocation numbers (in
data/machines.json), and musl's ldso/dynlink.c for which symbols a lookup accepts.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from sys import byteorder
from typing import NamedTuple

from muslabi.database import read_data

MAGIC = b"\x7fELF"

# Hard limits, far above anything published (the largest wheel of the survey has 0.1 million symbols).
MAX_SYMBOLS = 2_000_000
MAX_NAME = 1 << 16
MAX_NAME_BYTES = 64 << 20
MAX_DYNAMIC = 1 << 16
MAX_VERSIONS = 1 << 12
MAX_RELOCATIONS = 8_000_000
MAX_NEEDED = 1000
MAX_RPATH = 200  # folders

_CLASS64, _MSB, _WORD = 2, 2, 4
_SMALLEST = 52  # bytes of a 32-bit ELF header
_GNU_HASH_HEAD = 16  # bytes before the Bloom filter
_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PF_X = 1, 2, 3, 1
_DT_NEEDED, _DT_PLTRELSZ, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 1, 2, 4, 5, 6, 7, 8
_DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_REL, _DT_RELSZ, _DT_PLTREL, _DT_JMPREL = 10, 14, 15, 17, 18, 20, 23
_DT_RUNPATH, _DT_FLAGS, _DT_RELR = 29, 30, 36
_DT_GNU_HASH, _DT_FLAGS_1, _DT_VERNEED = 0x6FFFFEF5, 0x6FFFFFFB, 0x6FFFFFFE
_DF_STATIC_TLS, _DF_1_PIE = 0x10, 0x08000000
_STB_GLOBAL, _STB_WEAK, _STB_GNU_UNIQUE = 1, 2, 10
_STT_TLS, _STT_GNU_IFUNC = 6, 10
_SHT_PROGBITS, _SHT_DYNSYM = 1, 11
_SHF_ALLOC, _SHF_MERGE, _SHF_STRINGS = 2, 0x10, 0x20


class ElfError(Exception):
    """The file calls itself ELF but cannot be read as such. The text says where it breaks."""


@dataclass(frozen=True)
class Machine:
    """A processor as wheels name it, and the ELF numbers that matter here."""

    arch: str
    machine: int
    bits: int
    big_endian: bool
    hash_word: int  # bytes of a DT_HASH word
    tpoff: frozenset[int]
    tlsdesc: frozenset[int]
    irelative: frozenset[int]
    flags_mask: int
    flags_forbidden: int
    flags_says: str


@dataclass(frozen=True)
class Elf:
    """What a loader would see of one file. Names are decoded as UTF-8, bad bytes escaped."""

    machine: int
    bits: int
    big_endian: bool
    flags: int
    arch: str | None  # the wheel architecture, None for one that muslabi does not know
    kind: str  # "shared", "executable" or "object" (nothing a loader takes)
    interpreter: str | None
    soname: str | None
    needed: tuple[str, ...]
    rpath: tuple[str, ...]  # RPATH and RUNPATH together: musl treats them alike
    required: frozenset[str]  # undefined, STB_GLOBAL, visibility default
    weak: frozenset[str]  # undefined and weak: they resolve to 0 and set no requirement
    defined: frozenset[str]  # what a lookup by another file would find
    versions: frozenset[tuple[str, str]]  # (library, symbol version) of DT_VERNEED
    features: frozenset[str]  # relr, ifunc, tlsdesc, static-tls, empty-load
    data: tuple[tuple[int, int], ...]  # loaded parts of the file (start, end) that are not pure machine code
    comments: tuple[tuple[int, int], ...]  # parts that are not loaded and hold strings, as sections say (.comment)
    initial_exec: frozenset[str]  # symbols of initial-exec TLS relocations; "" is one of the file's own
    work: int  # what reading it cost: its symbols, and an eighth for each relocation

    @property
    def is_dynamic(self) -> bool:
        return bool(self.needed or self.required)


class _Layout(NamedTuple):
    """The struct formats of one class and byte order."""

    wide: bool  # 64-bit
    header: struct.Struct
    segment: struct.Struct
    dynamic: struct.Struct
    symbol: struct.Struct
    section: struct.Struct
    word: struct.Struct
    swap: bool


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    filesz: int
    memsz: int
    flags: int


class _Symbol(NamedTuple):
    name: int
    info: int
    other: int
    shndx: int
    value: int


@lru_cache(maxsize=4)
def _layout(wide: bool, big_endian: bool) -> _Layout:
    mark = ">" if big_endian else "<"
    formats = (
        ("HHIQQQIHHHHHH", "IIQQQQQQ", "QQ", "IBBHQQ", "IIQQQQIIQQ")
        if wide
        else ("HHIIIIIHHHHHH", "IIIIIIII", "II", "IIIBBH", "IIIIIIIIII")
    )
    header, segment, dynamic, symbol, section = (struct.Struct(mark + text) for text in formats)
    swap = big_endian != (byteorder == "big")
    return _Layout(wide, header, segment, dynamic, symbol, section, struct.Struct(mark + "I"), swap)


@lru_cache(maxsize=1)
def machines() -> dict[tuple[int, int, bool], Machine]:
    """The processors of data/machines.json by (e_machine, bits, big endian)."""
    table = {}
    for arch, raw in read_data("machines.json")["machines"].items():
        numbers = raw["relocations"]
        rule = raw.get("flags", {"mask": 0, "forbidden": 1, "says": ""})
        table[raw["machine"], raw["bits"], raw["big_endian"]] = Machine(
            arch=arch,
            machine=raw["machine"],
            bits=raw["bits"],
            big_endian=raw["big_endian"],
            hash_word=raw["hash_word"],
            tpoff=frozenset(numbers["tpoff"]),
            tlsdesc=frozenset(numbers["tlsdesc"]),
            irelative=frozenset(numbers["irelative"]),
            flags_mask=rule["mask"],
            flags_forbidden=rule["forbidden"],
            flags_says=rule["says"],
        )
    return table


def decode(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


class _Reader:
    """Bounds-checked access to one file's bytes, by file offset and by the address a loader would map."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        if len(data) < _SMALLEST or data[:4] != MAGIC:
            raise ElfError("shorter than an ELF header")
        if data[4] not in (1, 2) or data[5] not in (1, 2):
            raise ElfError(f"unknown ELF class {data[4]} or byte order {data[5]}")
        self.bits, self.big_endian = 32 * data[4], data[5] == _MSB
        self.layout = _layout(data[4] == _CLASS64, self.big_endian)
        header = self._unpack(self.layout.header, 16, "ELF header")
        self.type, self.machine, self.flags = header[0], header[1], header[6]
        self._phoff, self._shoff = header[4], header[5]
        self._phentsize, self._phnum, self._shentsize, self._shnum = header[8:12]
        self.segments = tuple(self._read_segments())
        self.loads = [s for s in self.segments if s.kind == _PT_LOAD]

    def _unpack(self, form: struct.Struct, offset: int, what: str) -> tuple[int, ...]:
        if offset < 0 or offset + form.size > len(self.data):
            raise ElfError(f"{what} lies outside the file (offset {offset})")
        return form.unpack_from(self.data, offset)

    def _read_segments(self) -> Iterator[_Segment]:
        form = self.layout.segment
        if self._phnum and self._phentsize != form.size:
            raise ElfError(f"program headers of {self._phentsize} bytes, expected {form.size}")
        for number in range(self._phnum):
            raw = self._unpack(form, self._phoff + number * form.size, f"program header {number}")
            if self.layout.wide:
                yield _Segment(raw[0], raw[2], raw[3], raw[5], raw[6], raw[1])
            else:
                yield _Segment(raw[0], raw[1], raw[2], raw[4], raw[5], raw[6])

    def _sections(self) -> Iterator[tuple[int, ...]]:
        """Section headers: name, type, flags, address, offset, size...; none where they do not lie in the file."""
        form = self.layout.section
        last = self._shoff + self._shnum * form.size
        if self._shentsize == form.size and last <= len(self.data):
            yield from form.iter_unpack(memoryview(self.data)[self._shoff : last])

    def dynsym_section(self, address: int) -> int:
        """Bytes of the section that section headers give for the symbol table at `address`; 0 without."""
        found = (raw[5] for raw in self._sections() if raw[1] == _SHT_DYNSYM and raw[3] == address)
        return next(found, 0)

    def comments(self) -> Iterator[tuple[int, int]]:
        """(start, end) of the sections of strings that are not loaded."""
        for raw in self._sections():
            flags = raw[2] & (_SHF_ALLOC | _SHF_MERGE | _SHF_STRINGS)
            if raw[1] == _SHT_PROGBITS and flags == _SHF_MERGE | _SHF_STRINGS:
                yield raw[4], raw[4] + raw[5]

    def at(self, address: int, what: str) -> memoryview:
        """The bytes from `address` to the end of its segment in the file."""
        for segment in self.loads:
            place = address - segment.address
            if 0 <= place < segment.filesz:
                start = segment.offset + place
                end = min(segment.offset + segment.filesz, len(self.data))
                if start < end:
                    return memoryview(self.data)[start:end]
        raise ElfError(f"{what} at address {address:#x} is in no part of the file that gets loaded")

    def words(self, view: memoryview, width: int) -> array[int]:
        """`view` as unsigned integers of `width` bytes in the host's order; a rest is dropped."""
        values = array("Q" if width > _WORD else "I")
        values.frombytes(view[: len(view) // width * width])
        if self.layout.swap:
            values.byteswap()
        return values


class _Dynamic:
    """The dynamic table: single values by tag, and the repeatable DT_NEEDED."""

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.values: dict[int, int] = {}
        self.needed: list[int] = []
        segment = next((s for s in reader.segments if s.kind == _PT_DYNAMIC), None)
        self.present = segment is not None
        if segment is not None:
            self._read(segment)
        self._names = 0
        self._strings = self._string_table()

    def _read(self, segment: _Segment) -> None:
        form = self.reader.layout.dynamic
        end = min(segment.offset + segment.filesz, len(self.reader.data))
        view = memoryview(self.reader.data)[segment.offset : end]
        view = view[: len(view) // form.size * form.size]
        for count, (tag, value) in enumerate(form.iter_unpack(view)):
            if tag == 0:
                return
            if count >= MAX_DYNAMIC:
                raise ElfError(f"a dynamic table of more than {MAX_DYNAMIC} entries")
            if tag == _DT_NEEDED:
                if len(self.needed) >= MAX_NEEDED:
                    raise ElfError(f"more than {MAX_NEEDED} needed libraries")
                self.needed.append(value)
            else:
                self.values[tag] = value

    def _string_table(self) -> bytes:
        if _DT_STRTAB not in self.values:
            return b""
        view = self.reader.at(self.values[_DT_STRTAB], "the string table")
        return bytes(view[: self.values.get(_DT_STRSZ, 0)])

    def string(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset, offset + MAX_NAME)
        if offset >= len(self._strings) or end < 0:
            raise ElfError(f"a name at {offset} of the string table has no end within {MAX_NAME} bytes")
        self._names += end - offset
        if self._names > MAX_NAME_BYTES:
            raise ElfError(f"symbol names of more than {MAX_NAME_BYTES >> 20} MiB together")
        return decode(self._strings[offset:end])

    def optional(self, tag: int) -> str | None:
        return self.string(self.values[tag]) if tag in self.values else None


def _relocation_infos(dynamic: _Dynamic) -> tuple[set[int], int]:
    """The distinct r_info values of all relocation tables, and how many relocations there are."""
    reader, values = dynamic.reader, dynamic.values
    width = reader.bits // 8
    plt_words = 3 if values.get(_DT_PLTREL) == _DT_RELA else 2
    infos: set[int] = set()
    count = 0
    for table, size, words in (
        (_DT_RELA, _DT_RELASZ, 3),
        (_DT_REL, _DT_RELSZ, 2),
        (_DT_JMPREL, _DT_PLTRELSZ, plt_words),
    ):
        length = values.get(size, 0)
        if length > MAX_RELOCATIONS * words * width:
            raise ElfError(f"more than {MAX_RELOCATIONS} relocations in one table")
        if values.get(table) and length:
            view = reader.at(values[table], "a relocation table")[:length]
            infos.update(reader.words(view, width)[1::words])
            count += len(view) // (words * width)
    return infos, count


def _split_info(info: int, wide: bool) -> tuple[int, int]:
    """(symbol index, relocation type) of an r_info value."""
    return (info >> 32, info & 0xFFFFFFFF) if wide else (info >> 8, info & 0xFF)


def _hash_count(dynamic: _Dynamic, hash_word: int) -> int:
    """Symbols counted by DT_HASH (its nchain)."""
    if _DT_HASH not in dynamic.values:
        return 0
    head = dynamic.reader.words(dynamic.reader.at(dynamic.values[_DT_HASH], "DT_HASH")[: 2 * hash_word], hash_word)
    return head[1] if len(head) > 1 else 0


def _gnu_hash_count(dynamic: _Dynamic) -> int:
    """Symbols counted by DT_GNU_HASH: the end of the chain that starts last."""
    if _DT_GNU_HASH not in dynamic.values:
        return 0
    reader = dynamic.reader
    view = reader.at(dynamic.values[_DT_GNU_HASH], "DT_GNU_HASH")
    if len(view) < _GNU_HASH_HEAD:
        raise ElfError("DT_GNU_HASH is cut off")
    buckets, first, bloom = reader.words(view[:12], _WORD)
    start = _GNU_HASH_HEAD + bloom * reader.bits // 8
    last = max(reader.words(view[start : start + 4 * buckets], _WORD), default=0)
    if last < first:
        return first
    chain = reader.words(view[start + 4 * (buckets + last - first) :][: 4 * MAX_SYMBOLS], _WORD)
    for length, value in enumerate(chain, 1):
        if value & 1:
            return last + length
    return last + len(chain)


def _symbols(dynamic: _Dynamic, hash_word: int, infos: set[int]) -> Iterator[_Symbol]:
    """The dynamic symbol table. Its length stands nowhere: it is the longest that any table speaks of."""
    reader, form = dynamic.reader, dynamic.reader.layout.symbol
    address = dynamic.values.get(_DT_SYMTAB)
    if not address:
        return
    referred = max((_split_info(info, reader.layout.wide)[0] for info in infos), default=0) + 1
    listed = reader.dynsym_section(address) // form.size
    count = max(_hash_count(dynamic, hash_word), _gnu_hash_count(dynamic), referred, listed)
    view = reader.at(address, "the symbol table")
    count = min(count, len(view) // form.size)
    if count > MAX_SYMBOLS:
        raise ElfError(f"{count} dynamic symbols, more than {MAX_SYMBOLS}")
    wide = reader.layout.wide
    for raw in form.iter_unpack(view[: count * form.size]):
        if wide:
            yield _Symbol(raw[0], raw[1], raw[2], raw[3], raw[4])
        else:
            yield _Symbol(raw[0], raw[3], raw[4], raw[5], raw[1])


def _chain(reader: _Reader, view: memoryview, start: int, next_at: int) -> Iterator[int]:
    """Offsets of a linked list of 16-byte entries; a list that leaves its segment ends."""
    offset = start
    for _ in range(MAX_VERSIONS):
        if offset + 16 > len(view):
            return
        yield offset
        step = reader.layout.word.unpack_from(view, offset + next_at)[0]
        if not step:
            return
        offset += step


def _versions(dynamic: _Dynamic) -> frozenset[tuple[str, str]]:
    """(library, version) pairs of DT_VERNEED."""
    found: set[tuple[str, str]] = set()
    if not dynamic.values.get(_DT_VERNEED):
        return frozenset()
    view = dynamic.reader.at(dynamic.values[_DT_VERNEED], "DT_VERNEED")
    word = dynamic.reader.layout.word
    count = 0
    for entry in _chain(dynamic.reader, view, 0, 12):
        library = dynamic.string(word.unpack_from(view, entry + 4)[0])
        first = entry + word.unpack_from(view, entry + 8)[0]
        for aux in _chain(dynamic.reader, view, first, 12):
            found.add((library, dynamic.string(word.unpack_from(view, aux + 8)[0])))
            count += 1
            if count >= MAX_VERSIONS:
                raise ElfError(f"more than {MAX_VERSIONS} symbol versions")
    return frozenset(found)


@dataclass
class _Names:
    """The symbol table sorted by what a loader does with each entry."""

    required: set[str]
    weak: set[str]
    defined: set[str]
    ifunc: bool
    by_index: dict[int, str]  # names of the symbols that initial-exec relocations refer to
    count: int = 0


def _sort_symbols(dynamic: _Dynamic, symbols: Iterator[_Symbol], wanted: set[int]) -> _Names:
    names = _Names(set(), set(), set(), False, {})
    for index, symbol in enumerate(symbols):
        names.count = index + 1
        bind, kind = symbol.info >> 4, symbol.info & 15
        if index in wanted:
            names.by_index[index] = dynamic.string(symbol.name) if bind else ""
        if bind not in (_STB_GLOBAL, _STB_WEAK, _STB_GNU_UNIQUE):
            continue
        if symbol.shndx:
            names.ifunc = names.ifunc or kind == _STT_GNU_IFUNC
            if symbol.value or kind == _STT_TLS:
                names.defined.add(dynamic.string(symbol.name))
        elif bind == _STB_WEAK:
            names.weak.add(dynamic.string(symbol.name))
        elif not symbol.other & 3:
            names.required.add(dynamic.string(symbol.name))
    return names


def _kind(reader: _Reader, dynamic: _Dynamic) -> str:
    pie = dynamic.values.get(_DT_FLAGS_1, 0) & _DF_1_PIE
    interpreted = any(s.kind == _PT_INTERP for s in reader.segments) and _DT_SONAME not in dynamic.values
    if reader.type == _ET_EXEC or (reader.type == _ET_DYN and (pie or interpreted)):
        return "executable"
    return "shared" if reader.type == _ET_DYN and dynamic.present else "object"


def _features(reader: _Reader, dynamic: _Dynamic, types: set[int], machine: Machine, ifunc: bool) -> frozenset[str]:
    present = {
        "relr": bool(dynamic.values.get(_DT_RELR)),
        "ifunc": ifunc or bool(types & machine.irelative),
        "tlsdesc": bool(types & machine.tlsdesc),
        "static-tls": bool(dynamic.values.get(_DT_FLAGS, 0) & _DF_STATIC_TLS),
        "empty-load": any(s.memsz == 0 for s in reader.loads),
    }
    return frozenset(name for name, there in present.items() if there)


def _interpreter(reader: _Reader) -> str | None:
    for segment in reader.segments:
        if segment.kind == _PT_INTERP:
            raw = reader.data[segment.offset : segment.offset + min(segment.filesz, 4096)]
            return decode(raw.split(b"\0")[0])
    return None


def _data_spans(reader: _Reader) -> Iterator[tuple[int, int]]:
    """The loaded parts less segments of code. A segment that starts the file holds read-only data as well."""
    for segment in reader.loads:
        if not (segment.flags & _PF_X and segment.offset):
            yield segment.offset, segment.offset + segment.filesz


def _apart(spans: Iterator[tuple[int, int]], size: int) -> tuple[tuple[int, int], ...]:
    """`spans` in order, cut to the file's size and where they overlap: in a hostile file nothing is read twice."""
    ranges: list[tuple[int, int]] = []
    reached = 0
    for start, end in sorted(spans):
        begin, reached = max(start, reached), max(min(end, size), reached)
        if begin < reached:
            ranges.append((begin, reached))
    return tuple(ranges)


def _folders(paths: tuple[str | None, ...]) -> tuple[str, ...]:
    folders = tuple(part for path in paths if path for part in path.split(":") if part)
    if len(folders) > MAX_RPATH:
        raise ElfError(f"an RPATH of more than {MAX_RPATH} folders")
    return folders


_UNKNOWN = Machine("", 0, 0, False, 4, frozenset(), frozenset(), frozenset(), 0, 1, "")


def read(data: bytes) -> Elf:
    """What a loader sees of the ELF file `data`. Raises ElfError for a file it could not take."""
    reader = _Reader(data)
    dynamic = _Dynamic(reader)
    known = machines().get((reader.machine, reader.bits, reader.big_endian))
    machine = known or _UNKNOWN
    infos, relocations = _relocation_infos(dynamic)
    split = [_split_info(info, reader.layout.wide) for info in infos]
    tpoff = {index for index, kind in split if kind in machine.tpoff}
    names = _sort_symbols(dynamic, _symbols(dynamic, machine.hash_word, infos), tpoff)
    paths = (dynamic.optional(_DT_RPATH), dynamic.optional(_DT_RUNPATH))
    return Elf(
        machine=reader.machine,
        bits=reader.bits,
        big_endian=reader.big_endian,
        flags=reader.flags,
        arch=known.arch if known else None,
        kind=_kind(reader, dynamic),
        interpreter=_interpreter(reader),
        soname=dynamic.optional(_DT_SONAME),
        needed=tuple(dynamic.string(offset) for offset in dynamic.needed),
        rpath=_folders(paths),
        required=frozenset(names.required - {""}),
        weak=frozenset(names.weak - {""}),
        defined=frozenset(names.defined - {""}),
        versions=_versions(dynamic),
        features=_features(reader, dynamic, {kind for _, kind in split}, machine, names.ifunc),
        data=_apart(_data_spans(reader), len(data)),
        comments=_apart(reader.comments(), len(data)),
        initial_exec=frozenset(names.by_index.get(index, "") for index in tpoff),
        work=names.count + relocations // 8,
    )
