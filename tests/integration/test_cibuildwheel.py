"""cibuildwheel against the built image, as a user calls it; `musllinux smoke` has the run with an index and tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import docker
import pytest
from tests.integration.conftest import Made

from musllinux.engine import find_client

ID = "musllinux_1_2_x86_64"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.needs("engine"),
    pytest.mark.timeout(50 * 60),  # the image may have to be built first
]


@pytest.fixture
def built(client: docker.DockerClient, made: Made) -> list[str]:
    """The tags of the image's interpreters. The image is this run's own: one that lies about may be another's."""
    assert (made.id, made.run.code) == (ID, 0), made.run.output[-4000:]
    listed = client.containers.run(f"{ID}:latest", ["manylinux-interpreters", "list"], remove=True)
    return sorted(bytes(listed).decode().split())


def cibuildwheel(project: Path, build: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it in `project`, with a docker command that the engine understands first on PATH."""
    commands = project.parent / "bin"
    commands.mkdir(exist_ok=True)
    (commands / "docker").symlink_to(find_client().path)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CIBW_")}
    env = {
        **clean,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "CIBW_ARCHS": "x86_64",
        "CIBW_BUILD": build,
        "CIBW_MUSLLINUX_X86_64_IMAGE": f"{ID}:latest",
        "CIBW_CACHE_PATH": str(project.parent / "cache"),
        **variables,
    }
    argv = [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--output-dir", "wheelhouse"]
    return subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True, timeout=900, check=False)


def test_a_project_that_needs_nothing_is_built_for_every_interpreter_without_any_index(
    root: Path, tmp_path: Path, built: list[str]
) -> None:
    project = tmp_path / "project"
    shutil.copytree(root / "tests" / "wheels" / "cxx_ext", project)
    done = cibuildwheel(
        project,
        " ".join(f"{tag.partition('-')[2]}-musllinux_x86_64" for tag in built),
        CIBW_BUILD_FRONTEND="build; args: --no-isolation",
        CIBW_ENVIRONMENT="PIP_NO_INDEX=1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wheels = sorted(path.name for path in (project / "wheelhouse").iterdir())
    assert wheels == [f"smoke_cxx-1.0-{tag}-{ID}.whl" for tag in built]


def test_an_interpreter_that_the_image_lacks_is_named(root: Path, tmp_path: Path, built: list[str]) -> None:
    absent = next((n for n in range(9, 16) if f"cp3{n}-cp3{n}" not in built), None)
    if absent is None:
        pytest.skip("the image has every interpreter")
    project = tmp_path / "project"
    shutil.copytree(root / "tests" / "wheels" / "c_ext", project)
    done = cibuildwheel(project, f"cp3{absent}-musllinux_x86_64")
    assert done.returncode != 0
    assert f"manylinux-interpreters ensure cp3{absent}-cp3{absent}" in done.stdout + done.stderr
