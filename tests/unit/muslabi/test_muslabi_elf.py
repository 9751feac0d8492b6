"""The ELF reader: what it sees, on every architecture, and that it survives anything."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.muslabi.elfmaker import MACHINES, Recipe, extension, make

from muslabi.elf import MAGIC, ElfError, _apart, read

ARCHES = sorted(MACHINES)


@pytest.mark.parametrize("arch", ARCHES)
def test_it_sees_the_same_on_every_architecture(arch: str) -> None:
    elf = read(
        make(
            Recipe(
                arch=arch,
                needed=["libc.so", "libz.so.1"],
                required=["malloc", "statx"],
                weak=["maybe"],
                hidden=["mine"],
                defined=["PyInit_x"],
                versions={"libgcc_s.so.1": "GCC_3.0", "libc.so.6": "GLIBC_2.17"},
                soname="libx.so",
                rpath="$ORIGIN/../x.libs:/usr/lib",
            )
        )
    )
    assert (elf.arch, elf.bits, elf.big_endian) == (arch, MACHINES[arch].bits, MACHINES[arch].big_endian)
    assert elf.kind == "shared"
    assert elf.needed == ("libc.so", "libz.so.1")
    assert elf.required == {"malloc", "statx"}
    assert elf.weak == {"maybe"}
    assert elf.defined == {"PyInit_x"}
    assert elf.versions == {("libgcc_s.so.1", "GCC_3.0"), ("libc.so.6", "GLIBC_2.17")}
    assert (elf.soname, elf.rpath) == ("libx.so", ("$ORIGIN/../x.libs", "/usr/lib"))
    assert elf.features == set()


@pytest.mark.parametrize("arch", ARCHES)
def test_it_sees_what_only_relocations_tell(arch: str) -> None:
    machine = MACHINES[arch]
    elf = read(
        make(
            Recipe(
                arch=arch,
                required=["theirs"],
                tls=["ours"],
                relr=True,
                empty_load=True,
                relocations=[
                    (min(machine.irelative), ""),
                    (min(machine.tpoff), "ours"),
                    (min(machine.tpoff), ""),
                    *((kind, "theirs") for kind in machine.tlsdesc),
                ],
            )
        )
    )
    tlsdesc = {"tlsdesc"} if machine.tlsdesc else set()
    assert elf.features == {"relr", "ifunc", "empty-load"} | tlsdesc
    assert elf.initial_exec == {"ours", ""}


def test_an_exported_ifunc_counts_without_a_relocation() -> None:
    assert "ifunc" in read(make(Recipe(ifuncs=["pick"]))).features


def test_a_program_is_told_from_a_library() -> None:
    assert read(make(Recipe(executable=True))).kind == "executable"
    loader = "/lib/ld-musl-x86_64.so.1"
    assert read(make(Recipe(interpreter=loader))).kind == "executable"
    assert read(make(Recipe(interpreter=loader))).interpreter == loader
    assert read(make(Recipe(interpreter=loader, soname="libx.so"))).kind == "shared"


def test_it_agrees_with_readelf_on_this_machines_own_interpreter() -> None:
    program = Path(sys.executable).resolve()
    said = subprocess.run(
        ["readelf", "-W", "--dyn-syms", "--dynamic", program],
        capture_output=True,
        text=True,
        check=True,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    ).stdout
    rows = [line.split() for line in said.splitlines() if re.match(r"\s*\d+: ", line)]
    undefined = {row[7].split("@")[0] for row in rows if row[6] == "UND" and row[4] == "GLOBAL"}
    elf = read(program.read_bytes())
    assert elf.required == undefined
    assert list(elf.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", said)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (MAGIC, "shorter than"),
        (MAGIC + b"\x09\x01" + bytes(60), "class"),
        (MAGIC + b"\x02\x01" + bytes(10) + b"\xff" * 60, "program header"),
    ],
)
def test_what_is_no_elf_file_gets_one_clear_line(data: bytes, words: str) -> None:
    with pytest.raises(ElfError, match=words):
        read(data)


def test_a_truncated_file_is_an_error_or_read_in_part_but_never_a_crash() -> None:
    data = make(Recipe(required=["malloc"] * 20, versions={"a": "b"}, rpath="$ORIGIN"))
    for length in range(len(data)):
        try:
            read(data[:length])
        except ElfError as error:
            assert str(error)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ARCHES), st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8))))
@example("s390x", [(0x38, b"\xff\xff")])
def test_a_mutated_file_is_an_error_or_read_but_never_a_crash(arch: str, cuts: list[tuple[int, bytes]]) -> None:
    data = bytearray(
        extension(arch=arch, required=["malloc"], versions={"a": "b"}, relocations=[(1, "malloc")], rpath="x")
    )
    for anywhere, patch in cuts:
        place = anywhere % len(data)
        data[place : place + len(patch)] = patch
    try:
        read(bytes(data))
    except ElfError as error:
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_after_the_mark_are_an_error_or_read(rest: bytes) -> None:
    try:
        read(MAGIC + rest)
    except ElfError as error:
        assert str(error)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60))), st.integers(0, 55))
def test_overlapping_parts_of_a_file_are_looked_at_once(spans: list[tuple[int, int]], size: int) -> None:
    once = [place for start, end in _apart(iter(spans), size) for place in range(start, end)]
    assert once == sorted({place for start, end in spans for place in range(start, min(end, size))})


def test_sections_that_all_claim_the_same_bytes_cost_no_more_than_one() -> None:
    elf = read(extension(comment=bytes(4096), sections=60_000))
    assert [end - start for start, end in elf.comments] == [4096]
