"""Handlers of binfmt_misc, and who needs them."""

import platform
from pathlib import Path

import pytest

from musllinux import emulation
from musllinux.model import resolve

from .factory import everything, shipped


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("enabled\ninterpreter /q\nflags: POF\n", ""),
        ("disabled\ninterpreter /q\nflags: F\n", "disabled"),
        ("enabled\ninterpreter /q\nflags: OP\n", "/q without the F flag: containers do not find it"),
    ],
)
def test_only_an_enabled_handler_with_the_f_flag_works_in_containers(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "qemu-s390x").write_text(text)
    assert emulation.handler("s390x", tmp_path) == emulation.Handler(program="/q", problem=problem)


def test_one_that_is_not_there_is_not_registered(tmp_path: Path) -> None:
    assert emulation.handler("s390x", tmp_path).problem == "not registered"


def test_versions_are_compared_as_numbers() -> None:
    assert emulation.number("qemu-ppc64le version 10.0.2") == (10, 0)
    assert emulation.number("version unknown (no such file)") is None


@pytest.mark.parametrize(
    ("machine", "foreign"),
    [
        ("x86_64", {"aarch64", "armv7l", "ppc64le", "s390x"}),
        ("aarch64", {"i686", "x86_64", "armv7l", "ppc64le", "s390x"}),
        ("s390x", {"i686", "x86_64", "aarch64", "armv7l", "ppc64le"}),
    ],
)
def test_what_the_kernel_runs_itself_is_not_emulated(
    machine: str, foreign: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    arches = {image.arch.name: image.arch for image in resolve(shipped(), everything(shipped()))}
    assert {name for name, arch in arches.items() if emulation.emulated(arch)} == foreign
