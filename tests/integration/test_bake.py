"""`musllinux list --format bake` against a real `docker buildx bake`, from Debian's package of a newer suite."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from musllinux import bake, engine
from musllinux.run import run
from standin.apt import Apt
from standin.cache import Cache

pytestmark = [pytest.mark.integration, pytest.mark.needs("engine", "apt")]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A docker configuration folder whose client has buildx."""
    folder = tmp_path_factory.mktemp("docker")
    apt = Apt(Cache(tmp_path_factory.mktemp("cache")), lambda _: None)
    [(_, tree)] = apt.debs("trixie", apt.native, ["docker-buildx"])
    (folder / "cli-plugins").mkdir()
    shutil.copy2(tree / "usr/libexec/docker/cli-plugins/docker-buildx", folder / "cli-plugins")
    return folder


def printed(root: Path, plugins: Path, file: Path) -> Any:
    """What bake understands of the file."""
    docker = str(engine.candidates()[0].path)
    argv = [docker, "buildx", "bake", "--print", "--progress=quiet", f"--file={file}"]
    return json.loads(run(argv, cwd=root, env={"DOCKER_CONFIG": str(plugins)}, timeout=120).output)


# As `build --prepare` leaves it, but for `network`: Debian's buildx is older than 0.17, the first to know it.
TARGET = bake.Target(
    tag="musllinux_1_2_armv7l:latest",
    platform="linux/arm/v7",
    args={"NATIVE_CONTENT": "a", "SYSTEM_CONTENT": "b"},
    labels={"org.opencontainers.image.revision": "c-modified"},
    network="",
)


def test_bake_understands_the_file_for_what_is_laid_out(root: Path, plugins: Path, tmp_path: Path) -> None:
    for name in ("matrix.yaml", "templates"):
        (tmp_path / name).symlink_to(root / name)
    images = ["musllinux_1_2_armv7l", "musllinux_1_2_s390x"]
    for image in images:
        place = tmp_path / "build" / image
        (place / "context").mkdir(parents=True)
        (place / "Dockerfile").write_text("FROM scratch\n")
        bake.lay_out(place, TARGET, {"sources": b"", "apk-key": b"key"})
    file = tmp_path / "bake.json"
    listing = [str(root / ".venv/bin/musllinux"), "list", "--format=bake"]
    file.write_text(run(listing, cwd=root, env={"MUSLLINUX_ROOT": str(tmp_path)}).output)
    understood = printed(tmp_path, plugins, file)
    assert set(understood["target"]) == set(images)
    target = understood["target"]["musllinux_1_2_armv7l"]
    assert target["platforms"] == ["linux/arm/v7"]
    assert target["labels"] == TARGET.labels
    assert target["args"] == TARGET.args
    assert target["tags"] == ["musllinux_1_2_armv7l:latest"]
    secrets = "build/musllinux_1_2_armv7l/.secrets"
    assert target["secret"] == [f"id={name},src={secrets}/{name}" for name in ("apk-key", "sources")]
