"""The symbol database against the libc of every musllinux and Alpine image that this engine holds."""

import io
import re
import tarfile
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from muslabi import database, extend

pytestmark = pytest.mark.integration

DB = database.load()
IMAGE = re.compile(r"(?:.*/)?(?:musllinux_\d+_\d+_\w+|alpine):.+")


def taken_out(container: Container, path: str) -> bytes:
    """A file of a container that need not run."""
    stream, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        member = tar.extractfile(tar.getmembers()[0])
        assert member is not None
        return member.read()


def loader_path(container: Container) -> str:
    """The one loader in /lib, whatever its architecture."""
    stream, _ = container.get_archive("/lib")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        return next(f"/{name}" for name in tar.getnames() if re.fullmatch(r"lib/ld-musl-[\w]+\.so\.1", name))


def test_the_database_says_what_each_images_own_libc_exports(client: docker.DockerClient, tmp_path: Path) -> None:
    tags = sorted(tag for image in client.images.list() for tag in image.tags if IMAGE.fullmatch(tag))
    if not tags:
        pytest.skip("this engine holds no musllinux and no Alpine image yet")
    for tag in tags:
        container = client.containers.create(tag, entrypoint="/bin/true")
        try:
            release = ".".join(taken_out(container, "/etc/alpine-release").decode().split(".")[:2])
            path = tmp_path / "libc"
            path.write_bytes(taken_out(container, loader_path(container)))
        finally:
            container.remove(force=True)
        libc = extend.read_libc(path)
        wanted = DB.release_exports(libc.arch, release)
        assert not libc.exports ^ wanted, tag
