"""Makes small ELF files and wheels with exactly the properties a test asks for. No compiler needed."""

import base64
import hashlib
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from muslabi.elf import Machine, machines

MACHINES: dict[str, Machine] = {machine.arch: machine for machine in machines().values()}
GLOBAL, WEAK = 1, 2
FUNC, TLS, IFUNC = 2, 6, 10


@dataclass
class Recipe:
    """What an ELF file shall hold."""

    arch: str = "x86_64"
    needed: Iterable[str] = ("libc.musl-x86_64.so.1",)
    required: Iterable[str] = ()
    weak: Iterable[str] = ()
    defined: Iterable[str] = ()
    ifuncs: Iterable[str] = ()
    tls: Iterable[str] = ()  # defined thread-local symbols
    hidden: Iterable[str] = ()  # undefined with visibility hidden
    relocations: Iterable[tuple[int, str]] = ()  # (type, symbol or "" for none)
    versions: Mapping[str, str] = field(default_factory=dict)  # library -> version
    soname: str = ""
    rpath: str = ""
    interpreter: str = ""
    relr: bool = False
    empty_load: bool = False
    executable: bool = False
    flags: int = 0
    machine: int | None = None  # another e_machine than the arch's
    text: bytes = b""  # read-only data
    comment: bytes = b""  # strings that are not loaded, in a section of their own
    sections: int = 1  # how many section headers say so


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        place = len(self.data)
        self.data += text.encode() + b"\0"
        return place


def make(recipe: Recipe) -> bytes:
    """The bytes of the ELF file: everything in one segment that begins the file, addresses equal to offsets."""
    machine = MACHINES[recipe.arch]
    form = _Form(machine.bits == 64, ">" if machine.big_endian else "<")
    strings = _Strings()
    symbols, index = _symbols(recipe, strings, form.wide, form.mark)
    relocations = _relocations(recipe, index, form.wide, form.mark)
    versions = _versions(recipe, strings, form.mark)
    tags = [(1, strings.add(name)) for name in recipe.needed]
    tags += [(tag, strings.add(text)) for tag, text in ((14, recipe.soname), (29, recipe.rpath)) if text]
    words = form.mark + ("4Q" if machine.hash_word == 8 else "4I")
    segments = 2 + bool(recipe.interpreter) + recipe.empty_load
    parts, place = _lay_out(
        form.header_size + segments * form.segment_size,
        {
            "interp": recipe.interpreter.encode() + b"\0" if recipe.interpreter else b"",
            "hash": struct.pack(words, 1, len(index) + 1, 0, 0),
            "symbols": symbols,
            "relocations": relocations,
            "versions": versions,
            "strings": strings.data,
            "text": recipe.text,
        },
    )
    tags += [*_table_tags(recipe, parts, form.wide), (0, 0)]
    dynamic = b"".join(struct.pack(form.mark + ("QQ" if form.wide else "II"), *tag) for tag in tags)
    loaded = place + len(dynamic)
    table = [form.segment(1, 4, 0, loaded), form.segment(2, 6, place, len(dynamic))]
    if recipe.interpreter:
        table.append(form.segment(3, 4, parts["interp"][0], len(parts["interp"][1])))
    if recipe.empty_load:
        table.append(form.segment(1, 4, loaded, 0))
    image = bytearray(loaded)
    sections = [form.section(0, 0, 0, 0), *[form.section(1, 0x30, loaded, len(recipe.comment))] * recipe.sections]
    places = (loaded + len(recipe.comment), len(sections)) if recipe.comment else (0, 0)
    head = _header(recipe, form, machine, segments, places) + b"".join(table)
    for offset, data in [(0, head), *parts.values(), (place, dynamic)]:
        image[offset : offset + len(data)] = data
    return bytes(image) + recipe.comment + (b"".join(sections) if recipe.comment else b"")


@dataclass(frozen=True)
class _Form:
    """Word size and byte order, and what follows from them."""

    wide: bool
    mark: str  # of struct formats

    @property
    def header_size(self) -> int:
        return 64 if self.wide else 52

    @property
    def segment_size(self) -> int:
        return 56 if self.wide else 32

    def segment(self, kind: int, flags: int, offset: int, size: int) -> bytes:
        if self.wide:
            return struct.pack(self.mark + "IIQQQQQQ", kind, flags, offset, offset, offset, size, size, 8)
        return struct.pack(self.mark + "IIIIIIII", kind, offset, offset, offset, size, size, flags, 4)

    def section(self, kind: int, flags: int, offset: int, size: int) -> bytes:
        return struct.pack(
            self.mark + ("IIQQQQIIQQ" if self.wide else "IIIIIIIIII"), 0, kind, flags, 0, offset, size, *4 * (0,)
        )


def _lay_out(start: int, contents: Mapping[str, bytes]) -> tuple[dict[str, tuple[int, bytes]], int]:
    """Each part with its offset, aligned; and where the next one would go."""
    parts = {}
    place = -(-start // 16) * 16
    for name, data in contents.items():
        parts[name] = (place, data)
        place = -(-(place + len(data)) // 16) * 16
    return parts, place


def _header(recipe: Recipe, form: _Form, machine: Machine, segments: int, sections: tuple[int, int]) -> bytes:
    ident = b"\x7fELF" + bytes([2 if form.wide else 1, 2 if machine.big_endian else 1, 1]) + bytes(9)
    number = machine.machine if recipe.machine is None else recipe.machine
    return ident + struct.pack(
        form.mark + ("HHIQQQIHHHHHH" if form.wide else "HHIIIIIHHHHHH"),
        *(2 if recipe.executable else 3, number, 1, 0, form.header_size, sections[0], recipe.flags),
        *(form.header_size, form.segment_size, segments, 64 if form.wide else 40, sections[1], 0),
    )


def _symbols(recipe: Recipe, strings: _Strings, wide: bool, mark: str) -> tuple[bytes, dict[str, int]]:
    rows: list[tuple[str, int, int, int, int]] = []  # name, binding, type, visibility, section
    rows += [(name, GLOBAL, FUNC, 0, 0) for name in recipe.required]
    rows += [(name, WEAK, FUNC, 0, 0) for name in recipe.weak]
    rows += [(name, GLOBAL, FUNC, 2, 0) for name in recipe.hidden]
    rows += [(name, GLOBAL, FUNC, 0, 1) for name in recipe.defined]
    rows += [(name, GLOBAL, IFUNC, 0, 1) for name in recipe.ifuncs]
    rows += [(name, GLOBAL, TLS, 0, 1) for name in recipe.tls]
    data = bytes(24 if wide else 16)
    index = {}
    for number, (name, binding, kind, visibility, section) in enumerate(rows, 1):
        index[name] = number
        value = 0x1000 if section else 0
        offset, info = strings.add(name), binding << 4 | kind
        if wide:
            data += struct.pack(mark + "IBBHQQ", offset, info, visibility, section, value, 0)
        else:
            data += struct.pack(mark + "IIIBBH", offset, value, 0, info, visibility, section)
    return data, index


def _relocations(recipe: Recipe, index: Mapping[str, int], wide: bool, mark: str) -> bytes:
    data = b""
    for kind, name in recipe.relocations:
        number = index[name] if name else 0
        if wide:
            data += struct.pack(mark + "QQQ", 0, number << 32 | kind, 0)
        else:
            data += struct.pack(mark + "II", 0, number << 8 | kind)
    return data


def _versions(recipe: Recipe, strings: _Strings, mark: str) -> bytes:
    data = b""
    for number, (library, version) in enumerate(recipe.versions.items(), 1):
        following = 32 if number < len(recipe.versions) else 0
        data += struct.pack(mark + "HHIII", 1, 1, strings.add(library), 16, following)
        data += struct.pack(mark + "IHHII", 0, 0, 2, strings.add(version), 0)
    return data


def _table_tags(recipe: Recipe, parts: Mapping[str, tuple[int, bytes]], wide: bool) -> list[tuple[int, int]]:
    tags = [(4, parts["hash"][0]), (5, parts["strings"][0]), (6, parts["symbols"][0])]
    tags += [(10, len(parts["strings"][1])), (11, 24 if wide else 16)]
    offset, data = parts["relocations"]
    if data:
        tags += [(7, offset), (8, len(data))] if wide else [(17, offset), (18, len(data))]
    offset, data = parts["versions"]
    if data:
        tags += [(0x6FFFFFFE, offset), (0x6FFFFFFF, len(recipe.versions))]
    if recipe.relr:
        tags += [(36, parts["text"][0]), (35, 8)]
    return tags


def extension(**properties: object) -> bytes:
    """An extension module's ELF file: as `Recipe`, with PyInit_x defined."""
    recipe = Recipe(**properties)  # type: ignore[arg-type]
    recipe.defined = (*recipe.defined, "PyInit_x")
    return make(recipe)


def wheel(
    folder: Path,
    files: Mapping[str, bytes],
    tag: str = "cp313-cp313-musllinux_1_2_x86_64",
    *,
    replace: Mapping[str, bytes | None] | None = None,
) -> Path:
    """A wheel `thing-1.0-TAG.whl` of `files`; `replace` overrides its dist-info files, None leaves one out."""
    path = folder / f"thing-1.0-{tag}.whl"
    pythons, abis, platforms = (part.split(".") for part in tag.split("-"))
    tags = [f"{python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms]
    lines = ["Wheel-Version: 1.0", "Root-Is-Purelib: false", *(f"Tag: {one}" for one in tags), ""]
    info: dict[str, bytes | None] = {
        "WHEEL": "\n".join(lines).encode(),
        "METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n\n",
        "RECORD": "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items()).encode(),
    }
    info.update(replace or {})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for name, contents in info.items():
            if contents is not None:
                archive.writestr(f"thing-1.0.dist-info/{name}", contents)
    return path


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
