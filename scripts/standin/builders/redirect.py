"""Give a compiled program another value for one of its string constants, in place.

Debian's compiler drivers have their target's name and folders compiled in. They are x86_64 programs at fixed
addresses (not PIE), so each use of a string is its address in the code or the data. The new string is written
over the end of the long "Configured with" text, which nothing needs, and every use of the old one is pointed
there.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from standin.errors import StandinError

_SCRAP = b"../src/configure -v"
_ET_EXEC, _PT_LOAD, _EXECUTABLE = 2, 1, 1
# What precedes an address in code: mov r32, imm32 (by register); push imm32; movq disp32(%rip), imm32.
_MOV_FIRST, _MOV_LAST, _PUSH, _MOVQ = 0xB8, 0xBF, 0x68, b"\x48\xc7\x05"


@dataclass(frozen=True)
class _Segment:
    offset: int
    address: int
    size: int
    executable: bool


def redirect(program: bytes, old: str, new: str, *, code: bool = True) -> bytes:
    """`program` with every use of the string `old` (or of a string it ends) pointed to `new` instead.

    With `code=False` uses in the code are left alone (for strings that are also something else there).
    Raises StandinError if the file is not a fixed-address x86_64 program, has no room left, or uses the
    string in a way this does not know; nothing is ever half changed.
    """
    data = bytearray(program)
    segments = _segments(program)
    uses = list(_uses(program, segments, old.encode() + b"\0"))
    place = _new_string(data, new.encode())
    address = _address(segments, place)
    for position, executable in uses:
        if executable and not code:
            continue
        if not _understood(program, position, executable):
            raise StandinError(f"{old!r} is used in an unknown way at {position:#x} of a compiler driver")
        struct.pack_into("<I", data, position, address)
    return bytes(data)


def _segments(program: bytes) -> list[_Segment]:
    if program[:4] != b"\x7fELF" or struct.unpack_from("<H", program, 16)[0] != _ET_EXEC:
        raise StandinError("a compiler driver is not at a fixed address", hint="Debian has changed it")
    table = struct.unpack_from("<Q", program, 32)[0]
    size, count = struct.unpack_from("<HH", program, 54)
    headers = (struct.unpack_from("<IIQQQQQQ", program, table + i * size) for i in range(count))
    return [_Segment(h[2], h[3], h[5], bool(h[1] & _EXECUTABLE)) for h in headers if h[0] == _PT_LOAD]


def _new_string(data: bytearray, new: bytes) -> int:
    start = data.find(_SCRAP)
    end = data.index(0, start) if start >= 0 else -1
    place = end - len(new)
    if start < 0 or place <= start + len(_SCRAP):
        raise StandinError("a compiler driver has no room for a new name", hint="Debian has changed it")
    data[place - 1] = 0
    data[place:end] = new
    return place


def _address(segments: list[_Segment], position: int) -> int:
    for segment in segments:
        if segment.offset <= position < segment.offset + segment.size:
            return segment.address + position - segment.offset
    raise StandinError("a string of a compiler driver is not in memory", hint="Debian has changed it")


def _uses(program: bytes, segments: list[_Segment], string: bytes) -> Iterator[tuple[int, bool]]:
    """Where the address of the string stands, and whether that is code."""
    for at in _all(program, string):
        for position in _all(program, struct.pack("<I", _address(segments, at))):
            for segment in segments:
                if segment.offset <= position < segment.offset + segment.size:
                    yield position, segment.executable


def _all(program: bytes, part: bytes) -> Iterator[int]:
    at = program.find(part)
    while at >= 0:
        yield at
        at = program.find(part, at + 1)


def _understood(program: bytes, position: int, executable: bool) -> bool:
    if not executable:
        return position % 8 == 0 and program[position + 4 : position + 8] == bytes(4)
    before = program[position - 1]
    moved = _MOV_FIRST <= before <= _MOV_LAST or program[position - 7 : position - 4] == _MOVQ
    return moved or before == _PUSH
