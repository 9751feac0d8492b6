import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux.model import Base, Image
from musllinux.smoke import trial
from musllinux.smoke.checks.clients import chosen
from musllinux.smoke.containers import SHOWN, Result, failure, pack, pasteable


def unpacked(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def test_folders_are_packed_with_links_followed_and_without_caches(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "backend.py").write_text("x")
    (tmp_path / "project" / "__pycache__").mkdir(parents=True)
    (tmp_path / "project" / "__pycache__" / "a.pyc").touch()
    (tmp_path / "project" / "linked").symlink_to("../shared")
    found = unpacked(pack({"there/project": tmp_path / "project"}))
    assert set(found) == {"there/project", "there/project/linked", "there/project/linked/backend.py"}
    assert found["there/project/linked/backend.py"].isreg()
    assert {(one.uid, one.uname) for one in found.values()} == {(0, "root")}


def test_content_with_an_interpreter_line_is_executable() -> None:
    found = unpacked(pack({"run": b"#!/bin/sh\n", "data": b"text"}))
    assert (found["run"].mode, found["data"].mode) == (0o755, 0o644)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_a_commands_line_can_be_pasted(argv: list[str]) -> None:
    import shlex  # noqa: PLC0415

    assert shlex.split(pasteable(argv, {"A": "b c"})) == ["A=b c", *argv]


def test_a_failure_shows_the_command_and_its_last_lines() -> None:
    result = Result(argv=("make",), code=2, out="\n".join(map(str, range(100))), err="boom\n")
    lines = failure("make " + "x" * 500, result).splitlines()
    assert lines[0].startswith("exit code 2: make xxx")
    assert len(lines[0]) < 330
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "  boom"


def test_the_last_line_skips_empty_ones() -> None:
    assert Result(argv=(), code=0, out="a\nb\n\n  \n", err="").last == "b"
    assert Result(argv=(), code=0, out="", err="").last == ""


READELF = """
File: /opt/_internal/cpython-3.9.2/lib/python3.9/lib-dynload/_ssl.so
 0x0000000000000001 (NEEDED)             Shared library: [libssl.so.3]
 0x0000000000000001 (NEEDED)             Shared library: [libstdc++.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.musl-x86_64.so.1]
 0x000000000000000e (SONAME)             Library soname: [_ssl.so]
"""


def test_a_trial_takes_the_interpreters_libraries_but_never_libc_or_what_a_wheel_must_bring() -> None:
    assert trial.needed(READELF) == {"libssl.so.3"}


def test_trials_are_the_policys_releases_and_the_images_own_base(image: Image) -> None:
    systems = trial.systems(image)
    assert list(systems) == ["Alpine 3.13", "Alpine 3.20", "Alpine 3.22"]
    assert all(systems.values())
    assert trial.floor_system(image) == "Alpine 3.13"


def test_a_base_made_with_the_floors_musl_stands_in_for_a_release_that_is_not_there(image: Image) -> None:
    from dataclasses import replace  # noqa: PLC0415

    made = Base(reference="made:1.2.2", release="0.0", version="1.2.2", digest="sha256:0")
    without = replace(image, trials={"1.2.2": made})
    assert trial.systems(without)["Alpine 3.13"] is None
    assert trial.floor_system(without) == "musl 1.2.2"
    assert trial.systems(without)["musl 1.2.2"] == made


def test_cibuildwheel_is_tried_with_the_oldest_the_newest_and_one_without_the_gil(image: Image) -> None:
    assert chosen(image) == ["cp39-cp39", "cp315-cp315", "cp315-cp315t"]


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_interpreters_are_tried_once_each(image: Image, count: int) -> None:
    from dataclasses import replace  # noqa: PLC0415

    few = replace(image, interpreters=image.interpreters[:count])
    assert chosen(few) == [one.tag for one in few.interpreters]
