"""lock and build from upstream's own addresses, through a proxy that wants a password and opens TLS.

Nothing but the proxy is reachable under these names; mirror and python.org want a password besides. The passwords must
be nowhere afterwards, and in no process list meanwhile. (The interpreter is not compiled: that takes minutes and no
network.)
"""

import json
import tarfile
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import docker
import pytest
from tests.inspector import Authority, Inspector, inspecting
from tests.integration.upstreams import IMAGE, Repository, filled, repository

from musllinux import certificates, lockfile
from musllinux.model import Selection
from musllinux.rehearsal import part_for, up
from musllinux.settings import from_args

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.needs("engine", "apt"),
    pytest.mark.timeout(60 * 60),
]

PROXY_PASSWORD = "pr0xy-p@ss/w:rd"  # needs escaping in a URL
MIRROR_PASSWORD = "m1rror-passw0rd"
PYTHON_PASSWORD = "pyth0n-passw0rd"
SECRETS = [
    word.encode()
    for word in (PROXY_PASSWORD, "pr0xy-p%40ss%2Fw%3Ard", MIRROR_PASSWORD, PYTHON_PASSWORD, "Inspection, as it were")
]


class Watch:
    """Looks at every process's command line, as any user of the machine can, as long as the block lasts."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    line = path.read_bytes()
                    if any(secret in line for secret in SECRETS):
                        self.found.add(line.replace(b"\0", b" ").decode(errors="replace"))


@dataclass(kw_only=True)
class Journey:
    """What was done once, for all tests of this module."""

    repository: Repository
    inspector: Inspector
    lock: CompletedProcess[str]
    build: CompletedProcess[str]
    seen: set[str] = field(default_factory=set)

    @property
    def place(self) -> Path:
        return self.repository.root / "build" / IMAGE


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory, client: docker.DockerClient) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("company")
    settings = from_args(Namespace())
    matrix = settings.matrix()
    selection = Selection(ids=("musllinux_1_2_x86_64",), interpreters=("cp314-cp314",))
    upstream = filled(up(part_for(matrix, selection), settings.cache / "standin", print), settings.cache)
    upstream.guarded = {"/alpine": f"reader:{MIRROR_PASSWORD}", "/ftp/python": f"reader:{PYTHON_PASSWORD}"}
    authority = Authority(folder)
    system = certificates.bundle({})
    bundle = folder / "bundle.pem"  # pip's index may be a real one
    bundle.write_bytes(authority.ca.read_bytes() + (system.read_bytes() if system else b""))
    inspector = Inspector(upstream=upstream, authority=authority, user="me", password=PROXY_PASSWORD)
    with inspecting(inspector):
        env = {"http_proxy": inspector.url, "https_proxy": inspector.url, "no_proxy": ""}
        where = repository(
            folder,
            {**env, "HTTP_PROXY": "", "HTTPS_PROXY": "", "NO_PROXY": "", "CI": "1"},
            mirror=f"https://reader:{MIRROR_PASSWORD}@dl-cdn.alpinelinux.org/alpine",
            python=f"https://reader:{PYTHON_PASSWORD}@www.python.org/ftp/python",
            base="docker.io/library/alpine:{alpine}",
        )
        with Watch() as watch:
            lock = where.run("lock", "--only=bases", "--only=cpython", f"--ca-bundle={bundle}")
            build = where.run("build", "--sources=upstream", f"--ca-bundle={bundle}")
        yield Journey(repository=where, inspector=inspector, lock=lock, build=build, seen=watch.found)
    for image in client.images.list(name=IMAGE):
        client.images.remove(str(image.id), force=True)


@pytest.fixture
def built(journey: Journey) -> Journey:
    assert journey.lock.returncode == 0, journey.lock.stdout
    assert journey.build.returncode == 0, journey.build.stdout[-4000:]
    return journey


def test_lock_reads_upstream_through_the_proxy(journey: Journey) -> None:
    assert journey.lock.returncode == 0, journey.lock.stdout
    lock = lockfile.load(journey.repository.lock).upstream
    assert lock.cpython["3.14"].version == "3.14.6"
    assert lock.bases["3.22"].reference == "docker.io/library/alpine:3.22.6"


def test_the_image_is_built_from_upstream_through_the_proxy(built: Journey) -> None:
    record = json.loads((built.place / "build.json").read_text())
    assert record["source"] == "upstream"
    assert record["base"].startswith("docker.io/library/alpine:3.22@sha256:")
    assert record["interpreters"] == ["cp314-cp314 3.14.6"]


def test_every_kind_of_input_came_through_the_proxy(built: Journey) -> None:
    hosts = set(built.inspector.connected)
    assert set(built.inspector.hosts) <= hosts
    asked = built.inspector.upstream.asked
    for kind in ("/blobs/sha256:", "Python-3.14.6.tar.xz", "APKINDEX.tar.gz", "/gcc-"):
        assert any(kind in path for path in asked), kind


def test_no_process_showed_a_password(built: Journey) -> None:
    assert built.seen == set()


def test_nothing_that_was_said_or_written_has_a_password(built: Journey) -> None:
    said = (built.lock.stdout + built.build.stdout).encode()
    assert not [secret for secret in SECRETS if secret in said]
    folders = (built.repository.root, built.repository.lock.parent)
    files = [p for folder in folders for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    assert built.place / "build.log" in files
    assert [str(p) for p in files for secret in SECRETS if secret in p.read_bytes()] == []


@pytest.mark.usefixtures("built")
def test_neither_history_nor_configuration_has_a_password(client: docker.DockerClient) -> None:
    image = client.images.get(f"{IMAGE}:latest")
    shown = json.dumps([image.attrs, image.history()]).encode()
    assert not [secret for secret in SECRETS if secret in shown]


def test_no_layer_has_a_password_or_the_companys_certificate(
    built: Journey, client: docker.DockerClient, tmp_path: Path
) -> None:
    saved = tmp_path / "image.tar"
    with saved.open("wb") as out:
        for chunk in client.images.get(f"{IMAGE}:latest").save():
            out.write(chunk)
    certificate = b"".join(built.inspector.authority.ca.read_bytes().splitlines()[1:3])
    wanted = [*SECRETS, certificate[:60]]
    layers = 0
    with tarfile.open(saved) as outer:
        for member in outer:
            content = outer.extractfile(member)
            if content is None:
                continue
            data = content.read()
            assert not [secret for secret in wanted if secret in data], member.name
            layers += member.name.endswith(".tar")
    assert layers >= 4


def test_builds_after_the_downloads_need_no_network(built: Journey) -> None:
    """The same command with a proxy that is gone: everything is in the caches."""
    env = {**built.repository.env, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    cut = Repository(root=built.repository.root, overlay=built.repository.overlay, env=env)
    record = built.place / "build.json"
    kept = record.read_bytes()
    record.unlink()  # so that it is really built, not found up to date
    done = cut.run("build", "--sources=upstream")
    assert done.returncode == 0, done.stdout[-4000:]
    assert json.loads(record.read_bytes())["fingerprint"] == json.loads(kept)["fingerprint"]


def test_a_wrong_proxy_password_is_one_line_with_its_remedy(journey: Journey, tmp_path: Path) -> None:
    wrong = journey.inspector.url.replace("pr0xy", "wrong")
    env = {**journey.repository.env, "https_proxy": wrong, "MUSLLINUX_CACHE": str(tmp_path)}
    done = Repository(root=journey.repository.root, overlay=journey.repository.overlay, env=env).run(
        "lock", "--only=cpython"
    )
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if not line.startswith("[lock]")]
    assert lines == [
        "musllinux: https://***@www.python.org/ftp/python/: the proxy wants a user and password",
        "  hint: https_proxy takes them before the proxy's host, percent-encoded, with an @ after them",
    ]


def test_without_the_companys_certificate_it_is_one_line_with_its_remedy(journey: Journey) -> None:
    env = {k: v for k, v in journey.repository.env.items() if k not in (*certificates.VARIABLES, "PIP_CERT")}
    done = Repository(root=journey.repository.root, overlay=journey.repository.overlay, env=env).run(
        "lock", "--only=cpython"
    )
    assert done.returncode == 1
    assert "its certificate is not trusted" in done.stdout
    assert "--ca-bundle" in done.stdout
