"""The text of a libc that exports only what the floor exports."""

import pytest

from standin.builders.stub_libc import Symbol, assembly
from standin.errors import StandinError

PUTS = Symbol(name="puts", function=True, weak=False, size=91)
ENVIRON = Symbol(name="environ", function=False, weak=True, size=8)
STATX = Symbol(name="statx", function=True, weak=False, size=200)


def test_newer_names_are_left_out() -> None:
    text = assembly([PUTS, STATX], ["statx"], 8)
    assert "statx" not in text
    assert ".globl puts" in text


def test_data_keeps_its_size_and_binding_and_functions_take_one_byte() -> None:
    lines = assembly([ENVIRON, PUTS], [], 8).splitlines()
    assert lines[1:8] == [
        ".bss",
        ".weak environ",
        ".type environ, %object",
        ".size environ, 8",
        ".balign 8",
        "environ:",
        ".skip 8",
    ]
    assert lines[-1] == ".skip 1"


def test_a_list_made_for_another_musl_is_refused() -> None:
    with pytest.raises(StandinError, match="does not export statx"):
        assembly([PUTS], ["statx"], 8)
