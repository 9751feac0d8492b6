"""Strings in compiled compiler drivers, on programs made by hand."""

import struct

import pytest

from standin.builders.redirect import redirect
from standin.errors import StandinError

BASE = 0x400000
CONFIGURED = b"../src/configure -v --with-pkgversion='Debian' --enable-languages=c,c++ --prefix=/usr\0"
OLD, NEW = "x86_64-linux-gnu", "x86_64-alpine-linux-musl"


def program(code: bytes, data: bytes, *, kind: int = 2, flags: tuple[int, int] = (5, 6)) -> bytes:
    """An ELF file with a code segment and a data segment, both loaded at their offset plus BASE."""
    size = 64 + 2 * 56
    first, second = size, size + len(code)
    header = b"\x7fELF" + bytes(12) + struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    segments = [(flags[0], first, len(code)), (flags[1], second, len(data))]
    table = b"".join(
        struct.pack("<IIQQQQQQ", 1, flag, offset, BASE + offset, BASE + offset, length, length, 4096)
        for flag, offset, length in segments
    )
    return header + table + code + data


def driver(uses: bytes = b"", *, pointer_at: int | None = 0) -> bytes:
    """A driver whose strings stand in its data: the name, the scrap text, then pointers to the name."""
    strings = OLD.encode() + b"\0" + CONFIGURED
    strings += bytes(-(64 + 112 + 16 + len(strings)) % 8)
    address = BASE + 64 + 112 + 16
    code = uses.replace(b"NAME", struct.pack("<I", address)).ljust(16, b"\x90")
    pointer = struct.pack("<Q", address) if pointer_at == 0 else b""
    return program(code, strings + pointer)


def string_at(data: bytes, address: int) -> str:
    return data[address - BASE : data.index(0, address - BASE)].decode()


def test_a_move_into_a_register_is_pointed_to_the_new_string() -> None:
    changed = redirect(driver(b"\xbfNAME"), OLD, NEW)
    assert string_at(changed, struct.unpack_from("<I", changed, 64 + 112 + 1)[0]) == NEW


def test_a_pointer_in_the_data_is_pointed_to_the_new_string() -> None:
    changed = redirect(driver(), OLD, NEW)
    assert string_at(changed, struct.unpack_from("<Q", changed, len(changed) - 8)[0]) == NEW


def test_a_second_string_finds_room_beside_the_first() -> None:
    changed = redirect(redirect(driver(b"\xbfNAME"), OLD, NEW), NEW, "armv7-alpine-linux-musleabihf")
    assert string_at(changed, struct.unpack_from("<I", changed, 64 + 112 + 1)[0]) == "armv7-alpine-linux-musleabihf"


def test_code_is_left_alone_when_only_data_is_meant() -> None:
    before = driver(b"\xbfNAME")
    changed = redirect(before, OLD, NEW, code=False)
    assert changed[176:192] == before[176:192]
    assert string_at(changed, struct.unpack_from("<Q", changed, len(changed) - 8)[0]) == NEW


def test_the_size_of_the_program_never_changes() -> None:
    assert len(redirect(driver(b"\xbfNAME"), OLD, NEW)) == len(driver(b"\xbfNAME"))


def test_an_unknown_way_to_use_the_string_is_refused() -> None:
    with pytest.raises(StandinError, match="used in an unknown way"):
        redirect(driver(b"\x01NAME"), OLD, NEW)


def test_a_position_independent_program_is_refused() -> None:
    with pytest.raises(StandinError, match="not at a fixed address"):
        redirect(program(b"", OLD.encode() + b"\0" + CONFIGURED, kind=3), OLD, NEW)


def test_a_name_longer_than_the_scrap_text_is_refused() -> None:
    with pytest.raises(StandinError, match="no room"):
        redirect(driver(), OLD, "x" * 200)
