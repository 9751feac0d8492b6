"""Real projects in Rust, from PyPI's sdists: built in the image by their own backends, as they are, and imported where
the tag says they run. Takes minutes each; emulated ones much longer."""

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from musllinux.emulation import emulated
from musllinux.engine import connect, image_facts
from musllinux.matrix import load
from musllinux.model import Image, Interpreter, Selection, resolve
from musllinux.settings import Source, from_args
from musllinux.smoke import apkconfig, cratesconfig, pipconfig, trial
from musllinux.smoke.checks import packages, rust
from musllinux.smoke.containers import Container, Containers, Engine
from musllinux.smoke.context import Context, Shared
from musllinux.smoke.runner import EMULATION, inspect
from musllinux.sources import present

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.needs("engine"), pytest.mark.timeout(14400)]

WORK = "/root/work"  # in a container
BUILD = """
cd /root/work
python=/opt/python/$1/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
"$python" -m pip wheel --progress-bar=off --no-deps --no-cache-dir --no-binary "$2" -w built "$2" >&2
auditwheel repair -w repaired built/*.whl >&2
ls repaired
"""


@dataclass(frozen=True)
class Project:
    """`try_it` uses the extension; `apk` is what its own CI installs before, `beside` what it imports of others."""

    name: str
    try_it: str
    apk: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


ORJSON = Project(
    "orjson", "import orjson; assert orjson.loads(orjson.dumps({'a': [1, 2.5, None]})) == {'a': [1, 2.5, None]}"
)
RPDS = Project("rpds-py", "import rpds; assert rpds.HashTrieMap({'a': 1}).insert('b', 2)['b'] == 2")
CRYPTOGRAPHY = Project(
    "cryptography",
    "from cryptography.fernet import Fernet as F; f = F(F.generate_key()); assert f.decrypt(f.encrypt(b'x')) == b'x'",
    apk=("libffi-dev", "openssl-dev"),
    beside=("cffi", "pycparser"),
)
EVERYWHERE = [("musllinux_1_2_x86_64", ORJSON), ("musllinux_1_2_x86_64", RPDS), ("musllinux_1_2_x86_64", CRYPTOGRAPHY)]
EMULATED = [("musllinux_1_2_aarch64", ORJSON), ("musllinux_1_2_armv7l", ORJSON)]
# those take an hour: `make test-all`, or MUSLLINUX_TESTS_IMAGES with the ids
ASKED = os.environ.get("MUSLLINUX_TESTS_IMAGES", "").replace(",", " ").split()
WANTED = [*EVERYWHERE, *(one for one in EMULATED if "all" in ASKED or one[0] in ASKED)]


@pytest.fixture
def context(request: pytest.FixtureRequest, root: Path, tmp_path: Path) -> Iterator[Context]:
    """What smoke checks get, for the image that the test names."""
    image = _image(root, request.param)
    engine = Engine()
    containers = Containers(engine, EMULATION if emulated(image.arch) else 1.0)
    try:
        facts = inspect(engine, image, image.tag)
        main = containers.start(facts.id, image.arch.platform, entry=facts.entrypoint)
        yield Context(
            image=image,
            facts=facts,
            root=root,
            work=tmp_path,
            containers=containers,
            main=main,
            shared=Shared(),
            log=print,
        )
    finally:
        containers.close()
        engine.close()


def _image(root: Path, name: str) -> Image:
    """The built image, as the source that it was built from has it."""
    facts = image_facts(f"{name}:latest")
    if facts is None:
        pytest.skip(f"no image {name}: `make images` builds it")
    standin = any(label.endswith(".standin") for label in facts.labels)
    settings = from_args(Namespace())
    matrix = load(root / "matrix.yaml")
    supply = present(settings, matrix, Source.STANDIN if standin else Source.UPSTREAM)
    with closing(connect()) as client:  # an image may have been made with some interpreters only
        listed = client.containers.run(f"{name}:latest", ["manylinux-interpreters", "list"], remove=True)
    tags = tuple(bytes(listed).decode().split())
    return resolve(matrix, supply, Selection(ids=(name,), interpreters=tags))[0]


def _interpreter(image: Image) -> Interpreter:
    """3.13, or the newest with a GIL where the image has none."""
    plain = [one for one in image.interpreters if not one.free_threaded]
    return next((one for one in plain if one.series == "3.13"), plain[-1])


@pytest.mark.parametrize(
    ("context", "project"), WANTED, indirect=["context"], ids=[f"{name}-{project.name}" for name, project in WANTED]
)
def test_a_real_project_builds_as_it_is_and_runs_where_its_tag_says(context: Context, project: Project) -> None:
    problem = pipconfig.reachable()
    if problem:
        pytest.skip(f"pip reaches no index: {problem}")
    python = _interpreter(context.image)
    wheel = _build(context, project, python)
    assert wheel.name.endswith(f"-{context.image.plat}.whl")
    systems = trial.systems(context.image)
    for name in (system for system, base in systems.items() if base):
        place = trial.trial(context, name)
        _try(context, place, project, python)


def _build(context: Context, project: Project, python: Interpreter) -> Path:
    """The repaired wheel on this machine, and what it needs beside it in the same folder."""
    with ExitStack() as stack:
        mounts = [
            *stack.enter_context(cratesconfig.prepared()),
            *stack.enter_context(apkconfig.prepared(context)),
        ]
        network = cratesconfig.network() or apkconfig.network(context.image)
        container = stack.enter_context(context.fresh(mounts=mounts, network=network))
        container.run("mkdir", "-p", WORK, log=print)
        if project.apk:
            packages.install(context, container, *project.apk)
        argv = ["bash", "-euo", "pipefail", "-c", BUILD, "bash", python.tag, project.name]
        name = container.run(
            *argv, log=print, seconds=3600, env={**_jobs(), **rust.pyo3_settings(context, python)}
        ).last
        path = context.work / name
        path.write_bytes(container.get(f"{WORK}/repaired/{name}"))
        print(container.run("muslabi", f"{WORK}/repaired/{name}", log=print).out)
        for requirement in project.beside:
            _beside(context, container, python, requirement)
    return path


def _jobs() -> dict[str, str]:
    return {"CARGO_BUILD_JOBS": os.environ.get("CARGO_BUILD_JOBS", "2")}


def _beside(context: Context, container: Container, python: Interpreter, requirement: str) -> None:
    folder = f"{WORK}/beside"
    argv = [f"/opt/python/{python.tag}/bin/python", "-B", "-m", "pip", "download", "-q", "--no-deps", "-d", folder]
    container.run(*argv, requirement, log=print)
    for name in container.run("ls", folder, log=print).out.split():
        (context.work / name).write_bytes(container.get(f"{folder}/{name}"))


def _try(context: Context, place: Container, project: Project, python: Interpreter) -> None:
    folder = f"smoke/{project.name}"
    files = sorted(context.work.glob("*.whl"))
    place.put({f"{folder}/{file.name}": file for file in files})
    install = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--root-user-action=ignore"]
    install += ["--disable-pip-version-check", f"--target=/{folder}/site"]
    with trial.transplanted(context, place, python):
        trial.run_python(context, place, python, *install, *(f"/{folder}/{file.name}" for file in files))
        trial.run_python(context, place, python, "-c", project.try_it, PYTHONPATH=f"/{folder}/site")
