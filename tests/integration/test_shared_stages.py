"""Several builds at once on one BuildKit: a stage that they share is made once."""

import threading
import uuid
from contextlib import suppress
from pathlib import Path

import docker
import pytest

from musllinux.engine import find_client
from musllinux.run import run

pytestmark = [pytest.mark.integration, pytest.mark.needs("engine", "apt")]

# As in the images' Dockerfiles: the shared stage comes first, and what differs is in the context and in later stages.
DOCKERFILE = """FROM scratch AS shared
COPY root/ /
COPY salt /salt
RUN ["/bin/busybox", "sh", "-c", "busybox sleep 4; busybox cat /proc/sys/kernel/random/uuid > /made"]
FROM shared
COPY own /own
RUN ["/bin/busybox", "sh", "-c", "busybox cat /made /own"]
"""


@pytest.fixture(scope="module")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one static program."""
    folder = tmp_path_factory.mktemp("busybox")
    run(["apt-get", "-o", "APT::Sandbox::User=root", "download", "busybox-static"], cwd=folder)
    run(["dpkg-deb", "--extract", next(folder.glob("*.deb")), folder / "root"])
    return folder / "root"


def test_two_builds_at_once_make_a_shared_stage_once(
    busybox: Path, tmp_path: Path, client: docker.DockerClient
) -> None:
    salt, said = uuid.uuid4().hex, dict[str, str]()
    tags = {name: f"musllinux-tests/shared:{salt[:12]}-{name}" for name in ("one", "two")}
    program = busybox / ("usr/bin/busybox" if (busybox / "usr/bin/busybox").exists() else "bin/busybox")

    def build(name: str) -> None:
        context = tmp_path / name
        (context / "root/bin").mkdir(parents=True)
        (context / "root/bin/busybox").write_bytes(program.read_bytes())
        (context / "root/bin/busybox").chmod(0o755)
        (context / "salt").write_text(salt)
        (context / "own").write_text(name)
        (context / "Dockerfile").write_text(DOCKERFILE)
        builder = find_client()
        argv = builder.build_argv(
            context=context, dockerfile=context / "Dockerfile", tag=tags[name], platform="linux/amd64", network="host"
        )
        said[name] = run(argv, env=builder.env, timeout=240, check=False).output

    workers = [threading.Thread(target=build, args=(name,)) for name in tags]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        made = [client.containers.run(tag, ["/bin/busybox", "cat", "/made"], remove=True) for tag in tags.values()]
        assert made[0] == made[1], said
    finally:
        for tag in tags.values():
            with suppress(docker.errors.ImageNotFound):
                client.images.remove(tag, force=True)
