"""The docker command and the engine of this machine, for real."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import docker
import pytest
from tests.integration.conftest import unpack_packages

from musllinux import console, engine
from musllinux.buildkit_log import Parser, State
from musllinux.run import CommandError, run

pytestmark = [pytest.mark.integration, pytest.mark.needs("engine")]

NAME = "musllinux-tests-engine"


@pytest.fixture
def folder(tmp_path: Path, client: docker.DockerClient) -> Iterator[Path]:
    """A build context whose contents no earlier build had."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "file").write_text(f"{os.getpid()} {time.time_ns()}\n")
    yield tmp_path
    client.images.prune(filters={"dangling": True, "label": f"test={NAME}"})
    for image in client.images.list(filters={"label": f"test={NAME}"}):
        client.images.remove(str(image.id), force=True)


def build_argv(folder: Path, dockerfile: str, platform: str = "linux/amd64") -> list[str]:
    path = folder / "Dockerfile"
    path.write_text(textwrap.dedent(dockerfile))
    return engine.find_client().build_argv(
        context=folder / "context",
        dockerfile=path,
        tag=f"{NAME}:latest",
        platform=platform,
        labels={"test": NAME},
        secrets={"sources": path},
    )


def test_a_build_goes_through_buildkit_and_its_steps_are_read(folder: Path) -> None:
    steps = Parser()
    argv = build_argv(folder, "FROM scratch AS one\nCOPY file /a\nFROM scratch AS image\nCOPY --from=one /a /b\n")
    run(argv, env=engine.find_client().env, log=folder / "log")
    for line in (folder / "log").read_text().splitlines():
        steps.feed(line)
    assert [(s.stage, s.state) for s in steps.steps if s.own] == [("one", State.DONE), ("image", State.DONE)]
    facts = engine.image_facts(f"{NAME}:latest")
    assert facts is not None
    assert facts.labels["test"] == NAME
    assert facts.is_for("linux/amd64")


@pytest.mark.parametrize(
    "platform", ["linux/amd64", "linux/386", "linux/arm64", "linux/arm/v7", "linux/ppc64le", "linux/s390x"]
)
def test_an_image_records_the_platform_it_was_built_for(folder: Path, platform: str) -> None:
    argv = build_argv(folder, f"FROM scratch\nCOPY file /{platform.replace('/', '-')}\n", platform)
    run(argv, env=engine.find_client().env)
    facts = engine.image_facts(f"{NAME}:latest")
    assert facts is not None
    assert facts.is_for(platform)


def test_a_failing_build_names_the_step_and_keeps_the_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = build_argv(folder, "FROM scratch AS image\nCOPY nowhere /x\n")
    log = folder / "log"
    with (
        console.progress([NAME]) as board,
        pytest.raises(CommandError) as caught,
    ):
        run(argv, env=engine.find_client().env, log=log, on_line=board.watch(NAME))
    assert "nowhere" in log.read_text()
    assert caught.value.log == str(log)
    assert "--platform=linux/amd64" in caught.value.message
    assert f"[{NAME}] image failed" in capsys.readouterr().err


def test_an_image_that_is_not_there_has_no_facts() -> None:
    assert engine.image_facts("musllinux-tests-nothing:latest") is None


@pytest.mark.needs("apt")
def test_ctrl_c_stops_the_build_and_leaves_no_image(folder: Path) -> None:
    unpack_packages(folder / "context", "busybox-static")
    marker = f"marker-{os.getpid()}-{time.time_ns()}"
    argv = build_argv(
        folder,
        f"""
        FROM scratch
        COPY . /
        RUN ["/bin/busybox", "sh", "-c", "echo started; sleep 120; : {marker}"]
        """,
    )
    program = textwrap.dedent(f"""
        import signal
        from musllinux import engine
        from musllinux.run import run
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
        run({argv!r}, env=engine.find_client().env, on_line=lambda line: print(line, flush=True))
    """)
    own = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert own.stdout is not None
    for line in own.stdout:
        if line.rstrip().endswith(" started"):
            break
    began = time.monotonic()
    own.send_signal(signal.SIGINT)
    _, said = own.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert "KeyboardInterrupt" in said
    assert engine.image_facts(f"{NAME}:latest") is None
    assert gone(str(folder))  # the docker command
    assert gone(marker)  # the step itself, which BuildKit ran


def test_connecting_is_to_a_real_engine(client: docker.DockerClient) -> None:
    with closing(engine.connect()) as again:
        assert again.info()["ID"] == client.info()["ID"]


def gone(pattern: str) -> bool:
    """Whether no process has `pattern` on its command line within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(pattern in line for line in command_lines()):
            return True
        time.sleep(0.2)
    return False


def command_lines() -> Iterator[str]:
    """Of every process, words separated by blanks."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
