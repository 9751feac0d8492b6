"""What `musllinux build` does around BuildKit: emulators, several images, failures."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from musllinux import build, console, emulation
from musllinux.alone import LOCK, alone
from musllinux.console import Board
from musllinux.engine import Client
from musllinux.errors import FactoryError
from musllinux.model import Image, Selection, resolve

from .factory import everything, shipped

IMAGES = resolve(shipped(), everything(shipped()), Selection(policies=("musllinux_1_2",), arches=("x86_64", "s390x")))


def workshop(tmp_path: Path, builder: str = "") -> build.Workshop:
    client = Client(path=Path("docker"), version="28", buildx="0.13", reason="")
    return build.Workshop(root=tmp_path, work=tmp_path, cache=tmp_path, client=client, ca_bundle=None, builder=builder)


@pytest.fixture
def no_emulators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    absent = emulation.handler("s390x", tmp_path)
    monkeypatch.setattr(emulation, "handler", lambda _: absent)


@pytest.mark.usefixtures("no_emulators")
def test_a_missing_emulator_is_said_before_any_work(tmp_path: Path) -> None:
    foreign = IMAGES[1]
    with pytest.raises(FactoryError, match="no emulator for linux/s390x: qemu-s390x not registered") as caught:
        build._require_emulator(foreign, workshop(tmp_path))
    assert "make emulators ARCH=s390x" in caught.value.hint


@pytest.mark.usefixtures("no_emulators")
def test_own_architecture_and_other_builders_need_none(tmp_path: Path) -> None:
    build._require_emulator(IMAGES[0], workshop(tmp_path))
    build._require_emulator(IMAGES[1], workshop(tmp_path, builder="farm"))


@pytest.mark.parametrize("work", [build.build, build.prepare])
def test_a_base_without_a_digest_is_neither_built_nor_laid_out(
    work: Callable[[Image, build.Workshop, Board], object], tmp_path: Path
) -> None:
    """FROM would take whatever the tag is today."""
    image = IMAGES[0]
    assert image.base.digest == ""
    with (
        console.progress([image.id]) as board,
        pytest.raises(FactoryError, match=r"alpine:3\.22 is not locked") as caught,
    ):
        work(image, workshop(tmp_path), board)
    assert "musllinux lock" in caught.value.hint
    assert not (tmp_path / image.id).exists()


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_failed_image_stops_no_other_and_the_end_says_which(at_once: int, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []

    def work(image: Image, board: Board) -> None:
        del board
        if image is IMAGES[0]:
            raise FactoryError("stage cp39-cp39, step 1 of 2 failed", log="/somewhere/build.log")
        done.append(image.id)

    assert build._all(IMAGES, work, at_once) == ["musllinux_1_2_x86_64"]
    assert done == ["musllinux_1_2_s390x"]
    said = capsys.readouterr().err
    assert "log: /somewhere/build.log" in said
    assert "1 of 2 images failed: musllinux_1_2_x86_64" in said


def test_two_runs_on_one_image_do_not_meet_and_a_killed_one_is_in_nobodys_way(tmp_path: Path) -> None:
    place = workshop(tmp_path).place(IMAGES[0])
    with alone(place):
        with pytest.raises(FactoryError, match="another run is building or trying it") as caught, alone(place):
            pass
        assert str(place) in caught.value.hint
    program = (
        "import os, signal, sys\nfrom filelock import FileLock\n"
        "FileLock(sys.argv[1]).acquire()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(place / LOCK)], check=False)
    with alone(place):
        pass
