"""Containers of smoke tests on a real engine: a small image of our own, no network."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from tests.integration.conftest import LABEL, unpack_packages

from musllinux.engine import find_client
from musllinux.run import run
from musllinux.smoke import containers
from musllinux.smoke.containers import Containers, Engine, Mount
from musllinux.smoke.registry import Failed

pytestmark = [pytest.mark.integration, pytest.mark.needs("engine", "apt")]

DOCKERFILE = """FROM scratch
COPY root/ /
ENTRYPOINT ["/bin/busybox", "env", "ENTERED=yes"]
"""
ENTRY = ("/bin/busybox", "env", "ENTERED=yes")


@pytest.fixture(scope="module")
def small(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with Debian's static busybox and nothing else."""
    context = tmp_path_factory.mktemp("small")
    unpack_packages(context / "unpacked", "busybox-static")
    busybox = next((context / "unpacked").rglob("bin/busybox"))
    (context / "root" / "bin").mkdir(parents=True)
    (context / "root" / "tmp").mkdir()
    (context / "root" / "opt").mkdir()
    (context / "root" / "opt" / "file").write_text("from the image")
    busybox.rename(context / "root" / "bin" / "busybox")
    for name in ("sh", "sleep", "cat", "env"):
        (context / "root" / "bin" / name).symlink_to("busybox")
    (context / "Dockerfile").write_text(DOCKERFILE)
    tag = "musllinux-tests/small:latest"
    docker_client = find_client()
    argv = docker_client.build_argv(
        context=context, dockerfile=context / "Dockerfile", tag=tag, platform="linux/amd64", labels={LABEL: "image"}
    )
    run(argv, env=docker_client.env)
    yield tag
    client.images.remove(tag, force=True)


@pytest.fixture
def some() -> Iterator[Containers]:
    engine = Engine()
    made = Containers(engine, slow=1.0)
    yield made
    made.close()
    engine.close()


def quiet(_: str) -> None:
    pass


def test_commands_go_through_the_entrypoint_and_exec_goes_past_it(some: Containers, small: str) -> None:
    container = some.start(small, "linux/amd64", entry=ENTRY)
    assert "ENTERED=yes" in container.run("env", log=quiet).out
    assert "ENTERED" not in container.run("env", log=quiet, bypass=True).out


def test_both_outputs_the_exit_code_and_input_come_through(some: Containers, small: str) -> None:
    container = some.start(small, "linux/amd64", entry=ENTRY)
    script = "cat; echo error >&2; exit 7"
    result = container.run("sh", "-c", script, stdin=b"x" * 2_000_000, log=quiet, check=False)
    assert (len(result.out), result.err, result.code) == (2_000_000, "error\n", 7)


def test_a_failing_command_says_what_it_said(some: Containers, small: str) -> None:
    container = some.start(small, "linux/amd64", entry=ENTRY)
    with pytest.raises(Failed, match=r"(?s)exit code 3: sh -c .*\n  reason$"):
        container.run("sh", "-c", "echo reason >&2; exit 3", log=quiet)


def test_many_quick_commands_at_once_lose_no_output(some: Containers, small: str) -> None:
    container = some.start(small, "linux/amd64", entry=ENTRY)
    said: list[str] = []

    def many() -> None:
        said.extend(container.run("sh", "-c", f"echo {n}", log=quiet).out for n in range(15))

    threads = [threading.Thread(target=many) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == sorted(f"{n}\n" for n in range(15) for _ in range(6))


def test_a_command_that_does_not_end_is_given_up(some: Containers, small: str) -> None:
    container = some.start(small, "linux/amd64", entry=ENTRY)
    started = time.monotonic()
    with pytest.raises(Failed, match=r"no end after 1 s: sleep 60"):
        container.run("sleep", "60", log=quiet, seconds=1)
    assert time.monotonic() - started < 20


def test_files_go_in_and_come_out(some: Containers, small: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(bytes(range(256)))
    container = some.start(small, "linux/amd64")
    container.put({"there/copied": tmp_path / "folder", "there/made": b"content"})
    assert container.get("/there/copied/file") == bytes(range(256))
    assert container.get("/there/made") == b"content"
    with pytest.raises(Failed, match="/absent is not there"):
        container.get("/absent")


def test_a_created_container_is_talked_to_from_its_start(some: Containers, small: str) -> None:
    container = some.create(small, ["sh", "-c", "echo one; cat; exit 4"], "linux/amd64", keep=True)
    result = some.attach(container, stdin=b"the input\n", log=quiet)
    assert (result.out, result.code) == ("one\nthe input\n", 4)


def test_mounts_are_read_only_and_memory_is_writable(some: Containers, small: str, tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("mounted")
    mounts = [Mount(source=tmp_path / "conf", target="/tmp/conf")]
    container = some.start(small, "linux/amd64", mounts=mounts, tmpfs=["/opt"])
    assert container.run("cat", "/tmp/conf", log=quiet).out == "mounted"
    refused = container.run("sh", "-c", "echo > /tmp/conf; echo > /opt/file", log=quiet, check=False)
    assert refused.err.count("Read-only file system") == 1
    assert "tmpfs /opt tmpfs" in container.run("cat", "/proc/mounts", log=quiet).out


def test_closing_removes_containers_and_ends_what_waits_for_them(
    some: Containers, small: str, client: docker.DockerClient
) -> None:
    container = some.start(small, "linux/amd64")
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            container.run("sleep", "60", log=quiet)
        except Failed as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.5)
    some.close()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert outcome
    marked: dict[str, str | list[str] | bool] = {"label": f"{containers.LABEL}={some.run_id}"}
    assert client.containers.list(all=True, filters=marked) == []
    with pytest.raises(Failed, match="stopped"):
        some.start(small, "linux/amd64")


def test_what_a_killed_run_left_is_removed_by_the_next_of_its_owner_and_nothing_else(
    some: Containers, small: str, tmp_path: Path, client: docker.DockerClient
) -> None:
    killed, other = (
        Containers(some.engine, slow=1.0, owner=containers.owner_of(tmp_path / name)) for name in ("one", "two")
    )
    try:
        killed.start(small, "linux/amd64")
        killed.create(small, ["true"], "linux/amd64")  # never started: it would not go by itself
        kept = [other.start(small, "linux/amd64").id, some.start(small, "linux/amd64").id]
        Containers(some.engine, slow=1.0, owner=containers.owner_of(tmp_path / "one")).sweep()
        left = client.containers.list(all=True, filters={"label": containers.LABEL})
        ours = {killed.run_id, other.run_id, some.run_id}
        assert {one.id for one in left if one.labels[containers.LABEL] in ours} == set(kept)
    finally:
        killed.close()
        other.close()


def test_an_image_that_cannot_be_had_is_a_failed_check(some: Containers) -> None:
    with pytest.raises(Failed, match="cannot pull"):
        some.start("127.0.0.1:9/no/such:image", "linux/amd64")
