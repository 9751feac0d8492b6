"""state.json: what is written is read back, what is damaged is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standin.errors import StandinError
from standin.state import BaseImage, State, load_state

WORDS = st.text(max_size=20)
BASES = st.builds(
    BaseImage,
    **dict.fromkeys(
        ("apk_arch", "release", "version", "origin", "role", "policy", "musl", "reference", "digest"), WORDS
    ),
)
STATES = st.builds(
    State,
    pid=st.none() | st.integers(1, 1 << 22),
    mirror=WORDS,
    python=WORDS,
    registry=WORDS,
    key=WORDS,
    bases=st.lists(BASES, max_size=3).map(tuple),
    archives=st.dictionaries(WORDS, st.fixed_dictionaries({"file": WORDS, "sha256": WORDS}), max_size=3),
    without=st.dictionaries(WORDS, WORDS, max_size=2),
    index=st.dictionaries(WORDS, WORDS, max_size=3),
    lacks=st.dictionaries(WORDS, st.lists(WORDS, max_size=3).map(tuple), max_size=3),
)
EXAMPLE = State(
    pid=7,
    mirror="http://127.0.0.1:1/alpine",
    python="http://127.0.0.1:1/python",
    registry="127.0.0.1:2",
    key="/k.rsa.pub",
    bases=(),
    archives={},
    without={},
    index={},
    lacks={"x86_64": ("tk",)},
)


@given(STATES)
def test_a_state_is_read_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, state: State) -> None:
    root = tmp_path_factory.mktemp("state")
    state.save(root)
    assert load_state(root) == state


def test_there_is_no_state_before_the_first_up(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None


def test_a_state_that_says_nothing_new_is_not_written_again(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path)
    before = (tmp_path / "state.json").stat()
    EXAMPLE.save(tmp_path)
    after = (tmp_path / "state.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_stopped_state_keeps_everything_but_the_pid(tmp_path: Path) -> None:
    EXAMPLE.stopped().save(tmp_path)
    stopped = load_state(tmp_path)
    assert stopped is not None
    assert stopped.pid is None
    assert stopped.mirror == EXAMPLE.mirror


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"format": 2}', '{"format": 1}', "\x00"])
def test_a_damaged_state_is_one_clear_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(StandinError, match=r"state\.json cannot be read") as caught:
        load_state(tmp_path)
    assert "standin up" in caught.value.hint


def test_the_file_says_which_format_it_has(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path)
    assert json.loads((tmp_path / "state.json").read_text())["format"] == 1
