"""What `musllinux build` does around BuildKit: emulators, several images, failures."""

import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from musllinux import build, console, emulation, inputs, record, smoke, sources
from musllinux.alone import LOCK, alone
from musllinux.apkindex import Package
from musllinux.buildkit_log import Parser
from musllinux.cli import main
from musllinux.console import Board
from musllinux.engine import Client, ImageFacts
from musllinux.errors import FactoryError
from musllinux.model import Image, Selection, resolve
from musllinux.settings import Source

from .factory import everything, shipped
from .test_record import MADE

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

    ended = build._all(IMAGES, work, at_once)
    assert [(one.image, one.problem is None) for one in ended] == [(IMAGES[0].id, False), (IMAGES[1].id, True)]
    assert done == ["musllinux_1_2_s390x"]
    said = capsys.readouterr().err
    assert "log: /somewhere/build.log" in said
    assert "1 of 2 images failed: musllinux_1_2_x86_64" in said


def test_the_record_has_what_is_installed_and_what_the_index_had_for_the_stages_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = shipped().rust.alpine
    rust = Package(name="rust", checksum="Q1", depends=(), provides=(), version="1.91-r1")
    supply = replace(everything(shipped()), packages={(release, "x86_64"): (rust,)})
    (image,) = resolve(shipped(), supply, Selection(ids=("musllinux_1_2_x86_64",)))
    monkeypatch.setattr(build, "installed_packages", lambda _: ("musl-1.2.5-r10",))
    labels = {"org.opencontainers.image.created": "2026-11-25T00:00:00+00:00"}
    target = build._target(image, labels)
    order = build._Order(image=image, context=tmp_path, dockerfile=tmp_path, target=target, fingerprint="f")
    facts = ImageFacts(id="sha256:a", platform="linux/amd64", size=1, labels={})
    made = build._record(order, facts, Parser(), 1.0)
    record.write(tmp_path, made)
    assert record.read(tmp_path, image.id) == made
    assert made.packages == ("musl-1.2.5-r10",)
    assert made.offered == {"rust": ("rust-1.91-r1",)}


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


def made(image: Image) -> build.Built:
    return build.Built(record=replace(MADE, id=image.id), fresh=True)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb as far as it starts nothing: s390x fails, every other image is built."""

    def one(image: Image, *_: object) -> build.Built:
        if image.arch.name == "s390x":
            raise FactoryError("no mirror at https://reader:s3cret@mirror.test")
        return made(image)

    monkeypatch.setattr(build, "find_client", lambda _: None)
    monkeypatch.setattr(build, "connect", lambda: None)
    monkeypatch.setattr(sources, "choose", lambda *_: Source.STANDIN)
    monkeypatch.setattr(sources, "ready", lambda settings, matrix, *_: (everything(matrix), settings.selection))
    monkeypatch.setattr(inputs, "sweep", lambda _: None)
    monkeypatch.setattr(build, "build", one)


@pytest.mark.usefixtures("no_engine")
def test_json_has_the_record_of_each_image_or_why_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--json", "--policy=musllinux_1_2", "--arch=x86_64,s390x"]) == 1
    built, failed = json.loads(capsys.readouterr().out)
    assert built == {**json.loads(json.dumps(asdict(made(IMAGES[0]).record))), "fresh": True}
    assert failed == {"id": "musllinux_1_2_s390x", "problem": "no mirror at https://***@mirror.test"}


@pytest.mark.usefixtures("no_engine")
def test_without_json_standard_output_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "musllinux_1_2_x86_64"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("arch", "shown"), [("x86_64,s390x", "tried musllinux_1_2_x86_64"), ("s390x", "not built musllinux_1_2_s390x")]
)
def test_smoke_shows_what_it_tried_and_build_what_left_nothing_to_try(
    arch: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def smoke_command(args: Namespace) -> int:
        print(json.dumps([{"id": name} for name in args.ids]))
        return 0

    monkeypatch.setattr(smoke, "command", smoke_command)
    assert main(["build", "--smoke", "--json", "--policy=musllinux_1_2", "--arch", arch]) == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert f"{'not built' if 'problem' in one else 'tried'} {one['id']}" == shown
