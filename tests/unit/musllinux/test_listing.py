"""`musllinux list`: the matrix for people, scripts and GitHub; bake's form is in test_bake.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from musllinux.cli import main
from musllinux.model import image_ids

from .factory import shipped

SECRET = "extends: default\nsources: {upstream: {mirror: 'https://reader:s3cret@mirror.test/alpine'}}\n"


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["list", *arguments]) == 0
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(listed(capsys, *arguments))


def test_the_table_has_a_line_for_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys).splitlines()
    assert [line.split()[0] for line in lines[1:13]] == image_ids(shipped())
    assert lines[-1].startswith("in each: cp39-cp39 ")


def test_a_selection_is_listed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    images = as_json(capsys, "--json", "--arch", "i686,s390x", "--policy=musllinux_1_1")["images"]
    assert [image["id"] for image in images] == ["musllinux_1_1_i686", "musllinux_1_1_s390x"]
    assert [image["time_t"] for image in images] == [32, 64]


def test_json_says_what_scripts_need(capsys: pytest.CaptureFixture[str]) -> None:
    answer = as_json(capsys, "musllinux_1_2_armv7l", "--format=json", "--interpreters", "cp314-cp314t cp39-cp39")
    assert answer["format"] == 1
    (image,) = answer["images"]
    assert image["platform"] == "linux/arm/v7"
    assert image["apk_arch"] == "armv7"
    assert image["time_t"] == 64
    assert image["interpreters"] == ["cp39-cp39", "cp314-cp314t"]
    assert image["tag"] == "musllinux_1_2_armv7l:latest"


def test_github_is_one_line_with_an_include_for_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "--format", "github")
    assert text.count("\n") == 1
    include = json.loads(text)["include"]
    assert len(include) == 12
    assert include[0] == {
        "id": "musllinux_1_2_x86_64",
        "policy": "musllinux_1_2",
        "arch": "x86_64",
        "platform": "linux/amd64",
        "runner": "ubuntu-24.04",
    }
    assert {row["arch"] for row in include if row["runner"].endswith("-arm")} == {"aarch64"}


def test_a_runner_of_its_own_is_one_that_needs_no_emulator() -> None:
    """Else setup and build ask for qemu there as well. GitHub's labels name a processor that is not x86_64's."""
    for name, machine in shipped().architectures.items():
        processor = "aarch64" if machine.runner.endswith("-arm") else "x86_64"
        native = processor in (machine.runs_on or machine.uname)
        assert native or machine.runner == shipped().architectures["x86_64"].runner, name


def test_emulators_is_a_line_an_architecture_for_setup(capsys: pytest.CaptureFixture[str]) -> None:
    said = listed(capsys, "--format", "emulators", "--arch", "i686,armv7l").splitlines()
    assert said == ["i686 i386 i686 x86_64", "armv7l arm armv7l armv8l"]


@pytest.mark.parametrize("form", ["table", "json", "github", "emulators"])
def test_no_form_shows_a_password(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(SECRET)
    assert "s3cret" not in listed(capsys, "--matrix", str(tmp_path / "mine.yaml"), "--format", form)


def test_a_redacted_mirror_still_names_its_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(SECRET)
    sources = as_json(capsys, "--matrix", str(tmp_path / "mine.yaml"), "--json")["sources"]
    assert sources["upstream"]["mirror"] == "https://***@mirror.test/alpine"


def test_dropped_cp39_is_warned_of_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("extends: default\ninterpreters: {cp39-cp39: null}\n")
    assert main(["list", "--json", "--matrix", str(tmp_path / "mine.yaml")]) == 0
    captured = capsys.readouterr()
    assert "cibuildwheel" in captured.err
    assert json.loads(captured.out)
