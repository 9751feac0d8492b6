"""unpack_relr.py RELATIVE FOLDER…: turn packed relative relocations (DT_RELR) of shared libraries into ordinary ones.

Alpine links its packages with `-z pack-relative-relocs`. musl knows DT_RELR from 1.2.4 on (Alpine 3.15 to 3.17 carry it
as a backport) and older ones ignore it without a word: the library loads and its pointers are wrong. auditwheel grafts
libstdc++ and libgcc_s into nearly every C++ wheel, so that a wheel for the floor needs them without.

RELATIVE is the architecture's number of R_*_RELATIVE. Libraries are rewritten in place: the table of relocations, now
with one entry for each packed address, goes to the end of the file into a segment of its own, whose program header was
a PT_NOTE's (a build id). musl itself, which relocates itself before anything else, is left alone. Runs natively.
"""

import pathlib
import struct
import sys

ELFCLASS64, ELFDATA2LSB = 2, 1
PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
DT_NULL, DT_RELA, DT_RELASZ, DT_RELAENT, DT_REL, DT_RELSZ, DT_RELENT = 0, 7, 8, 9, 17, 18, 19
DT_RELRSZ, DT_RELR, DT_RELRENT = 35, 36, 37
SHT_PROGBITS, SHT_RELR = 1, 19
PAGE = 0x10000  # the largest page of any architecture musl runs on


class Library:
    """An ELF shared library as bytes that can be changed (System V gABI, chapters 4 and 5)."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.wide = data[4] == ELFCLASS64
        self.order = "<" if data[5] == ELFDATA2LSB else ">"
        self.word = "Q" if self.wide else "I"
        self.size = 8 if self.wide else 4
        header = "HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH"
        fields = struct.unpack_from(self.order + header, self.data, 16)
        self.phoff, self.shoff = fields[4], fields[5]
        self.phentsize, self.phnum, self.shentsize, self.shnum = fields[8:12]

    def segments(self):
        """(offset of the header, type, file offset, address, file size, memory size) of each."""
        for index in range(self.phnum):
            at = self.phoff + index * self.phentsize
            if self.wide:
                kind, _, offset, address, _, filesz, memsz, _ = struct.unpack_from(
                    self.order + "IIQQQQQQ", self.data, at
                )
            else:
                kind, offset, address, _, filesz, memsz, _, _ = struct.unpack_from(
                    self.order + "IIIIIIII", self.data, at
                )
            yield at, kind, offset, address, filesz, memsz

    def offset(self, address):
        for _, kind, offset, start, filesz, _ in self.segments():
            if kind == PT_LOAD and start <= address < start + filesz:
                return offset + address - start
        raise ValueError(f"address {address:#x} is in no segment")

    def read(self, offset):
        return struct.unpack_from(self.order + self.word, self.data, offset)[0]

    def dynamic(self):
        """The place and the (tag, value) pairs of the dynamic section, without its end."""
        place = next(offset for _, kind, offset, _, _, _ in self.segments() if kind == PT_DYNAMIC)
        pairs = []
        while True:
            pair = struct.unpack_from(self.order + self.word * 2, self.data, place + len(pairs) * 2 * self.size)
            if pair[0] == DT_NULL:
                return place, pairs
            pairs.append(pair)


def packed_addresses(library, table, size):
    """The addresses that a DT_RELR table names (the encoding of the gABI's draft; musl, ldso/dynlink.c)."""
    addresses, where = [], 0
    for index in range(size // library.size):
        entry = library.read(library.offset(table) + index * library.size)
        if entry & 1 == 0:
            addresses.append(entry)
            where = entry + library.size
            continue
        bits = library.size * 8 - 1
        addresses += [where + bit * library.size for bit in range(bits) if entry >> (bit + 1) & 1]
        where += bits * library.size
    return addresses


def unpack(data, relative):
    """The library without DT_RELR, or None where it has none.

    Raises ValueError where there is no program header to spare.
    """
    library = Library(data)
    place, pairs = library.dynamic()
    tags = dict(pairs)
    if DT_RELR not in tags:
        return None
    addend = DT_REL not in tags  # i386 and arm keep addends in place; a library with neither gets the wide form
    kinds = (DT_RELA, DT_RELASZ, DT_RELAENT) if addend else (DT_REL, DT_RELSZ, DT_RELENT)
    table = new_table(library, tags, kinds, relative, addend)
    address = append_segment(library, table)
    entsize = library.size * (3 if addend else 2)
    values = {kinds[0]: address, kinds[1]: len(table), kinds[2]: entsize}
    kept = [(tag, values.pop(tag, value)) for tag, value in pairs if tag not in (DT_RELR, DT_RELRSZ, DT_RELRENT)]
    kept += values.items()
    kept += [(DT_NULL, 0)] * (len(pairs) - len(kept))
    for index, pair in enumerate(kept):
        struct.pack_into(library.order + library.word * 2, library.data, place + index * 2 * library.size, *pair)
    point_sections(library, tags.get(kinds[0]), address, len(table))
    return bytes(library.data)


def new_table(library, tags, kinds, relative, addend):
    """Relative relocations first, as linkers order them, then those that were there."""
    old = b""
    if kinds[0] in tags:
        start = library.offset(tags[kinds[0]])
        old = bytes(library.data[start : start + tags[kinds[1]]])
    form = library.order + library.word * (3 if addend else 2)
    packed = packed_addresses(library, tags[DT_RELR], tags[DT_RELRSZ])
    rows = [(at, relative, library.read(library.offset(at)))[: 3 if addend else 2] for at in packed]
    return b"".join(struct.pack(form, *row) for row in rows) + old


def append_segment(library, content):
    """Put `content` at the end of the file, loaded read-only behind everything else; answers its address."""
    segments = list(library.segments())
    spare = next((at for at, kind, *_ in segments if kind == PT_NOTE), None)
    if spare is None:
        raise ValueError("no PT_NOTE program header to reuse")
    end = max(address + memsz for _, kind, _, address, _, memsz in segments if kind == PT_LOAD)
    address = (end + PAGE - 1) // PAGE * PAGE
    library.data += bytes(-len(library.data) % PAGE)
    offset, size = len(library.data), len(content)
    library.data += content
    if library.wide:
        header = struct.pack(library.order + "IIQQQQQQ", PT_LOAD, 4, offset, address, address, size, size, PAGE)
    else:
        header = struct.pack(library.order + "IIIIIIII", PT_LOAD, offset, address, address, size, size, 4, PAGE)
    # loaders want PT_LOAD in the order of their addresses: the new one is the highest, so it goes behind the others
    table = [bytes(library.data[at : at + library.phentsize]) for at, *_ in segments if at != spare] + [header]
    library.data[library.phoff : library.phoff + len(table) * library.phentsize] = b"".join(table)
    return address


def point_sections(library, old, address, size):
    """Section headers, which patchelf and strip go by: the table has moved, and nothing is packed any more."""
    form = library.order + ("IIQQQQ" if library.wide else "IIIIII")
    offset = library.offset(address)
    for index in range(library.shnum):
        at = library.shoff + index * library.shentsize
        name, kind, flags, start, _, _ = struct.unpack_from(form, library.data, at)
        if old is not None and start == old and kind in (4, 9):  # SHT_RELA, SHT_REL
            struct.pack_into(form, library.data, at, name, kind, flags, address, offset, size)
        elif kind == SHT_RELR:
            struct.pack_into(library.order + "I", library.data, at + 4, SHT_PROGBITS)


def libraries(folders):
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*.so*")):
            if path.is_file() and not path.is_symlink() and not path.name.startswith(("ld-musl", "libc.musl")):
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path


def main(relative, *folders):
    done = []
    for path in libraries(folders):
        try:
            fresh = unpack(path.read_bytes(), int(relative))
        except (ValueError, OverflowError, struct.error, StopIteration) as error:
            sys.exit(f"{path}: cannot unpack its relocations: {error}")
        if fresh is not None:
            mode = path.stat().st_mode
            temporary = path.with_name(path.name + ".unpacked")
            temporary.write_bytes(fresh)
            temporary.chmod(mode)
            temporary.replace(path)
            done.append(path.name)
    print(f"unpacked the relative relocations of {len(done)} libraries: {' '.join(done)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
