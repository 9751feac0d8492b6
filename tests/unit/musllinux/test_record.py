"""The record of a build: read back as it was written, and anything else is none."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musllinux import record
from musllinux.record import BuildRecord

ID = "musllinux_1_2_x86_64"
MADE = BuildRecord(
    format=record.FORMAT,
    id=ID,
    image="sha256:a",
    fingerprint="b",
    source="standin",
    base="127.0.0.1:5/library/alpine:3.20.3",
    created="2026-11-25T00:00:00+00:00",
    seconds=12.5,
    interpreters=("cp39-cp39 3.9.2",),
    lacking=(),
    packages=("musl-1.2.5-r0",),
    steps={"base": 1.0},
    size=1,
    offered={"rust": ("rust-1.90.0-r0",)},
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def written(work: Path, text: str | bytes) -> BuildRecord | None:
    place = record.path(work, ID)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return record.read(work, ID)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record.write(tmp_path, MADE)
    assert record.read(tmp_path, ID) == MADE
    assert [path.name for path in (tmp_path / ID).iterdir()] == ["build.json"]


def test_a_record_from_before_it_said_what_was_offered_still_counts(tmp_path: Path) -> None:
    old = {name: value for name, value in asdict(MADE).items() if name != "offered"}
    assert written(tmp_path, json.dumps(old)) == replace(MADE, offered={})


def test_where_there_is_none_it_is_none(tmp_path: Path) -> None:
    assert record.read(tmp_path, ID) is None


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, json.dumps({**asdict(MADE), "format": 2}), "\udcff"])
def test_a_damaged_record_or_one_of_another_format_is_none(tmp_path: Path, text: str) -> None:
    assert written(tmp_path, text.encode("utf-8", "surrogateescape")) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(sorted(asdict(MADE))), JSON)
def test_a_record_with_any_other_value_is_none_or_has_the_types_it_says(
    tmp_path: Path, name: str, value: object
) -> None:
    found = written(tmp_path, json.dumps({**asdict(MADE), name: value}))
    assert found is None or all(type(getattr(found, key)) is type(was) for key, was in vars(MADE).items())
