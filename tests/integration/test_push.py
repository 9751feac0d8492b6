"""`musllinux push` to real registries: tags, digests, refusals. The images are tiny ones of a policy of their own."""

import base64
import datetime as dt
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import requests
from tests.integration.conftest import LABEL

from musllinux import engine
from musllinux.registry import MANIFESTS
from musllinux.run import Completed, run
from musllinux.smoke.record import CheckResult, Machine, SmokeRecord, write

pytestmark = [pytest.mark.integration, pytest.mark.needs("engine", "compose", "apt")]

POLICY = "musllinux_9_9"  # none of the real ones: their images on this machine stay as they are
ID = f"{POLICY}_x86_64"
STANDIN = "io.github.musllinux-factory.standin"


@dataclass(frozen=True)
class Checkout:
    """A repository whose matrix has one policy, and the images built from it."""

    root: Path
    client: docker.DockerClient

    def image(self, name: str = ID, **labels: str) -> str:
        """Build a new tiny image under its local tag, with a green smoke record; the engine's id of it."""
        context = self.root / "context"
        context.mkdir(exist_ok=True)
        (context / "file").write_text(f"{name} {time.time_ns()}\n")
        dockerfile = self.root / "Dockerfile"
        dockerfile.write_text("FROM scratch\nCOPY file /file\n")
        found = engine.find_client()
        argv = found.build_argv(
            context=context,
            dockerfile=dockerfile,
            tag=f"{name}:latest",
            platform="linux/amd64",
            labels={**labels, LABEL: POLICY},
        )
        run(argv, env=found.env)
        facts = engine.image_facts(f"{name}:latest", self.client)
        assert facts is not None
        self.tried(name, facts.id)
        return facts.id

    def tried(self, name: str, image: str) -> None:
        machine = Machine(cpus=1, system="Linux", engine="Docker", emulated=False)
        check = CheckResult(name="starts", group="identity", status="ok", seconds=0.1)
        record = SmokeRecord(
            id=name,
            image=image,
            suite="1",
            source="standin",
            started="2026-11-22T00:00:00+00:00",
            seconds=0.1,
            machine=machine,
            interpreters=(),
            checks=(check,),
        )
        write(self.root / "build", record)

    def push(self, *args: str, config: Path | None = None) -> Completed:
        env = {"MUSLLINUX_ROOT": str(self.root), **({"DOCKER_CONFIG": str(config)} if config else {})}
        return run([sys.executable, "-m", "musllinux", "push", *args], env=env, check=False, timeout=300)


@pytest.fixture
def checkout(tmp_path: Path, root: Path, client: docker.DockerClient) -> Iterator[Checkout]:
    shutil.copytree(root / "templates", tmp_path / "templates")
    # policies of this test's own: what users have built must not be pushed, nor be missed
    matrix = (root / "matrix.yaml").read_text().replace("  musllinux_1_2:", f"  {POLICY}:")
    (tmp_path / "matrix.yaml").write_text(matrix.replace("musllinux_1_1", f"{POLICY}8"))
    yield Checkout(tmp_path, client)
    for image in client.images.list(all=True, filters={"label": f"{LABEL}={POLICY}"}):
        client.images.remove(str(image.id), force=True)


@pytest.fixture
def place(registry: str, request: pytest.FixtureRequest) -> str:
    """A path in the registry that only this test uses."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return f"{registry}/t{digest}"


def served(place: str, tag: str, name: str = ID) -> tuple[str, dict[str, dict[str, str]]]:
    """Digest and manifest, asked with nothing of ours."""
    host, _, path = place.partition("/")
    answer = requests.get(f"http://{host}/v2/{path}/{name}/manifests/{tag}", headers={"Accept": MANIFESTS}, timeout=30)
    answer.raise_for_status()
    return f"sha256:{hashlib.sha256(answer.content).hexdigest()}", answer.json()


def today() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y.%m.%d}"


def test_an_image_is_served_under_todays_first_tag_by_the_digest_that_is_printed(
    checkout: Checkout, place: str
) -> None:
    image = checkout.image()
    done = checkout.push("--registry", place, "--json")
    result = json.loads(done.output[done.output.index("{") :])
    digest, manifest = served(place, f"{today()}-1")
    assert done.code == 0, done.output
    assert [(p["digest"], p["how"]) for p in result["pushed"]] == [(digest, "pushed")]
    assert manifest["config"]["digest"] == image
    assert json.loads((checkout.root / "build" / ID / "push.json").read_text())["digest"] == digest


def test_the_engine_keeps_only_the_local_tag(checkout: Checkout, place: str, client: docker.DockerClient) -> None:
    checkout.image()
    checkout.push("--registry", place)
    assert client.images.get(f"{ID}:latest").tags == [f"{ID}:latest"]


def test_pushing_again_changes_nothing(checkout: Checkout, place: str) -> None:
    checkout.image()
    first = checkout.push("--registry", place)
    second = checkout.push("--registry", place)
    assert (first.code, second.code) == (0, 0), first.output + second.output
    assert "was there" in second.output
    assert first.output.splitlines()[-1] == second.output.splitlines()[-1]


def test_another_image_of_the_day_gets_the_next_tag_and_the_first_stays(checkout: Checkout, place: str) -> None:
    checkout.image()
    checkout.push("--registry", place)
    before, _ = served(place, f"{today()}-1")
    image = checkout.image()
    done = checkout.push("--registry", place)
    _, manifest = served(place, f"{today()}-2")
    assert done.code == 0, done.output
    assert manifest["config"]["digest"] == image
    assert served(place, f"{today()}-1")[0] == before


def test_a_taken_tag_is_never_overwritten(checkout: Checkout, place: str) -> None:
    checkout.image()
    assert checkout.push("--registry", place, "--tag", "2026.11.22-1").code == 0
    before, _ = served(place, "2026.11.22-1")
    checkout.image()
    done = checkout.push("--registry", place, "--tag", "2026.11.22-1")
    assert done.code == 1
    assert "2026.11.22-1 is taken by another image" in done.output
    assert "the next free tag is 2026.11.22-2" in done.output
    assert served(place, "2026.11.22-1")[0] == before


def test_several_images_go_under_one_tag(checkout: Checkout, place: str) -> None:
    other = f"{POLICY}_aarch64"
    checkout.image()
    first = checkout.push("--registry", place)  # takes N=1 for this one alone
    assert first.code == 0, first.output
    checkout.image()
    checkout.image(other)
    done = checkout.push("--registry", place)
    assert done.code == 0, done.output
    assert served(place, f"{today()}-2")[0]
    assert served(place, f"{today()}-2", other)[0]


def test_a_stand_in_image_goes_to_loopback_and_nowhere_else(checkout: Checkout, place: str) -> None:
    checkout.image(**{STANDIN: "1"})
    refused = checkout.push("--registry", "registry.example.invalid/me")
    assert refused.code == 1
    assert f"built from the stand-in, not for registry.example.invalid: {ID}" in refused.output
    assert checkout.push("--registry", place).code == 0


def test_an_image_that_was_not_tried_is_not_pushed(checkout: Checkout, place: str) -> None:
    checkout.image()
    checkout.tried(ID, "sha256:another")
    done = checkout.push("--registry", place)
    assert done.code == 1
    assert f"not pushed: {ID} (not tried)" in done.output


def test_an_image_that_is_not_built_is_named(checkout: Checkout, place: str) -> None:
    done = checkout.push("--registry", place, f"{POLICY}_s390x")
    assert done.code == 1
    assert f"not built: {POLICY}_s390x" in done.output
    assert "Traceback" not in done.output


def test_a_registry_that_nobody_serves_is_one_line(checkout: Checkout) -> None:
    checkout.image()
    done = checkout.push("--registry", "127.0.0.1:1")
    assert done.code == 1
    assert "registry 127.0.0.1:1 cannot be reached: Connection refused" in done.output
    assert "Traceback" not in done.output


@pytest.fixture
def login(tmp_path: Path) -> Callable[[str, str], Path]:
    """A docker configuration with credentials for one registry."""

    def make(host: str, password: str) -> Path:
        folder = tmp_path / "docker"
        folder.mkdir(exist_ok=True)
        auth = base64.b64encode(f"tester:{password}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        return folder

    return make


def test_without_the_right_credentials_the_remedy_is_to_log_in(
    checkout: Checkout, private_registry: str, login: Callable[[str, str], Path]
) -> None:
    checkout.image()
    done = checkout.push("--registry", private_registry, config=login(private_registry, "wrong"))
    assert done.code == 1
    assert f"registry {private_registry} refuses access" in done.output
    assert f"`docker login {private_registry}`" in done.output
    assert "wrong" not in done.output


def test_with_credentials_from_dockers_configuration_it_pushes_and_verifies(
    checkout: Checkout, private_registry: str, login: Callable[[str, str], Path]
) -> None:
    checkout.image()
    done = checkout.push("--registry", f"{private_registry}/me", config=login(private_registry, "correct horse"))
    assert done.code == 0, done.output
    assert f"{private_registry}/me/{ID}:{today()}-1@sha256:" in done.output
