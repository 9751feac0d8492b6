"""Services of the integration tests: registries in containers, from Debian's docker-registry."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import requests
from tests.conftest import compose

from musllinux import engine
from musllinux.run import Completed, run

LABEL = "io.github.musllinux-factory.tests"
SERVICE = Path(__file__).parent / "registry"


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """The engine."""
    with closing(engine.connect()) as connected:
        yield connected


@pytest.fixture(scope="session")
def registry_context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build context: the service's files, and root/ with the registry and the libc it was linked against."""
    context = tmp_path_factory.mktemp("registry")
    shutil.copytree(SERVICE, context, dirs_exist_ok=True)
    unpack_packages(context / "root", "docker-registry", "libc6")
    for unwanted in ("usr/share", "etc", "lib/systemd", "var"):
        shutil.rmtree(context / "root" / unwanted, ignore_errors=True)
    return context


def unpack_packages(target: Path, *names: str) -> None:
    """Debian packages of this machine's own release, from the mirror its apt is configured for."""
    with tempfile.TemporaryDirectory() as folder:
        run(["apt-get", "-o", "APT::Sandbox::User=root", "download", *names], cwd=Path(folder))
        for package in Path(folder).glob("*.deb"):
            run(["dpkg-deb", "--extract", package, target])


@pytest.fixture(scope="session")
def docker_compose_command(pytestconfig: pytest.Config) -> str:
    return compose(pytestconfig)


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(SERVICE / "compose.yaml")


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return f"musllinux-tests-{os.getpid()}"


@pytest.fixture(scope="session")
def docker_setup(registry_context: Path, client: docker.DockerClient) -> list[str]:
    """What pytest-docker runs first; --wait is not known to every compose."""
    os.environ.update(REGISTRY_CONTEXT=str(registry_context), TESTS_PID=str(os.getpid()))
    remove_leftovers(client)
    return ["up --build -d"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    return ["down --volumes --rmi all"]


def remove_leftovers(client: docker.DockerClient) -> None:
    """Containers of test runs that were killed before they could clean up."""
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        owner = container.labels.get(LABEL, "")
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            container.remove(force=True, v=True)


@pytest.fixture(scope="session")
def registry(docker_ip: str, docker_services) -> str:  # type: ignore[no-untyped-def]
    """host:port of an open registry."""
    return answering(docker_services, f"{docker_ip}:{docker_services.port_for('registry', 5000)}", 200)


@pytest.fixture(scope="session")
def private_registry(docker_ip: str, docker_services) -> str:  # type: ignore[no-untyped-def]
    """host:port of a registry that wants the user `tester` with the password `correct horse`."""
    return answering(docker_services, f"{docker_ip}:{docker_services.port_for('private', 5000)}", 401)


def answering(docker_services, host: str, status: int) -> str:  # type: ignore[no-untyped-def]
    def up() -> bool:
        try:
            return requests.get(f"http://{host}/v2/", timeout=5).status_code == status
        except requests.ConnectionError:
            return False

    docker_services.wait_until_responsive(check=up, timeout=60, pause=0.2)
    return host


@dataclass(frozen=True)
class Made:
    """What `make images` did: its run, and the image it was for."""

    id: str
    run: Completed


@pytest.fixture(scope="session")
def made(root: Path) -> Made:
    """The x86_64 image as a user gets it, with what is cached; cold this takes up to 25 minutes on two cores."""
    done = run(["make", "images", "ARCH=x86_64", "POLICY=musllinux_1_2"], cwd=root, check=False, timeout=45 * 60)
    return Made(id="musllinux_1_2_x86_64", run=done)
