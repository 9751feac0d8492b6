"""GCC's specs: read, changed, written."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standin.builders.specs import edited, parse, written
from standin.errors import StandinError

DUMP = "*asm:\n%{m16|m32:--32}\n\n*asm_debug:\n\n\n*link:\n--eh-frame-hdr %{m64}\n%{shared}\n\n"

names = st.text(string.ascii_lowercase + "_", min_size=1, max_size=12)
lines = st.text(string.ascii_letters + " %{}:!-/|", max_size=20).filter(lambda line: not line.startswith("*"))
texts = st.lists(lines.filter(bool), max_size=3).map("\n".join)


def test_empty_and_many_lined_specs_are_read() -> None:
    assert parse(DUMP) == {
        "asm": "%{m16|m32:--32}",
        "asm_debug": "",
        "link": "--eh-frame-hdr %{m64}\n%{shared}",
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no bug
@given(st.dictionaries(names, texts, min_size=1))
def test_what_is_written_is_read_back(specs: dict[str, str]) -> None:
    assert parse(written(specs)) == specs


def test_additions_come_after_replacements_and_in_order() -> None:
    changed = edited({"cc1": "a", "link": "b"}, {"cc1": "new"}, [("cc1", "one"), ("cc1", "two")])
    assert changed == {"cc1": "new one two", "link": "b"}


def test_an_unknown_name_is_refused_rather_than_written_in_vain() -> None:
    with pytest.raises(StandinError, match="no spec called lnik"):
        edited({"link": ""}, {}, [("lnik", "-z now")])


@pytest.mark.parametrize("text", ["", "gcc: error\n", "*asm:\nno end"])
def test_what_is_no_dump_is_refused(text: str) -> None:
    with pytest.raises(StandinError, match="unreadable"):
        parse(text)
