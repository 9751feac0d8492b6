"""`musllinux list --format bake` against a real `docker buildx bake`, from Debian's package of a newer suite."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from musllinux import engine
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


def test_bake_accepts_the_file_for_what_is_laid_out(root: Path, plugins: Path, tmp_path: Path) -> None:
    musllinux = root / ".venv/bin/musllinux"
    images = ["musllinux_1_2_armv7l", "musllinux_1_2_s390x"]
    (tmp_path / "build").mkdir()
    for image in images:  # as `build --prepare` leaves it; its own test is that of every build
        (tmp_path / "build" / image / "context").mkdir(parents=True)
        (tmp_path / "build" / image / "Dockerfile").write_text("FROM scratch\n")
        (tmp_path / "build" / image / ".sources").write_text("")
    file = tmp_path / "bake.json"
    file.write_text(run([musllinux, "list", "--format=bake", *images], cwd=root).output)
    understood = printed(tmp_path, plugins, file)
    assert set(understood["target"]) == set(images)
    target = understood["target"]["musllinux_1_2_armv7l"]
    assert target["platforms"] == ["linux/arm/v7"]
    assert target["labels"]["org.opencontainers.image.revision"]
    assert target["secret"] == ["id=sources,src=build/musllinux_1_2_armv7l/.sources"]
