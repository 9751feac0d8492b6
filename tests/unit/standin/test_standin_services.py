"""The two processes: found again, kept on their port, and never mistaken for a stranger's."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from standin import server, services
from standin.errors import StandinError
from standin.services import Service, Supervisor


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_text("content")
    return tmp_path


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(root: Path, said: list[str]) -> Iterator[Supervisor]:
    found = Supervisor(root, said.append)
    yield found
    found.stop("mirror")


def test_the_mirror_serves_the_site_and_outlives_its_starter(root: Path, supervisor: Supervisor) -> None:
    process = supervisor.ensure(services.mirror(root, free_port()))
    assert os.getsid(process.pid) == process.pid
    assert requests.get(f"http://{process.address}/file", timeout=5).text == "content"


def test_a_healthy_service_is_not_started_again(root: Path, supervisor: Supervisor) -> None:
    service = services.mirror(root, free_port())
    first = supervisor.ensure(service)
    assert supervisor.ensure(service) == first
    assert Supervisor(root, print).running("mirror") == first


def test_a_service_that_died_comes_back_on_its_port(root: Path, supervisor: Supervisor) -> None:
    service = services.mirror(root, free_port())
    first = supervisor.ensure(service)
    assert supervisor.stop("mirror")
    assert supervisor.running("mirror") is None
    second = supervisor.ensure(services.mirror(root, free_port()))
    assert (second.port, second.pid == first.pid) == (first.port, False)


def test_a_taken_port_is_left_to_its_owner_and_another_one_used(
    root: Path, supervisor: Supervisor, said: list[str]
) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        process = supervisor.ensure(services.mirror(root, taken))
    assert process.port != taken
    assert said == [f"port {taken} is taken: the mirror is on {process.port}"]
    assert supervisor.ensure(services.mirror(root, taken)) == process, "the port must stay from then on"


def test_a_recorded_pid_that_is_now_a_strangers_is_not_stopped(root: Path, supervisor: Supervisor) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        record = {"pid": stranger.pid, "started": 1, "argv": ["python"], "port": 1}
        (root / "run").mkdir()
        (root / "run" / "mirror.json").write_text(json.dumps(record))
        assert not supervisor.stop("mirror")
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("content", ["", "{}", "[1]", "{"])
def test_a_damaged_record_is_no_record(root: Path, supervisor: Supervisor, content: str) -> None:
    (root / "run").mkdir()
    (root / "run" / "mirror.json").write_text(content)
    assert supervisor.running("mirror") is None
    assert not supervisor.stop("mirror")


def test_another_server_on_the_recorded_port_is_not_taken_for_ours(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "site").mkdir(parents=True)
    other, ours = Supervisor(tmp_path / "other", print), Supervisor(root, print)
    port = free_port()
    try:
        foreign = other.ensure(services.mirror(tmp_path / "other", port))
        mine = ours.ensure(services.mirror(root, port))
        assert (foreign.port, mine.port != port) == (port, True)
    finally:
        other.stop("mirror")
        ours.stop("mirror")


def test_a_service_that_ends_at_once_is_one_clear_line_with_its_log(root: Path, supervisor: Supervisor) -> None:
    service = Service(
        name="broken",
        port=free_port(),
        command=lambda _: [sys.executable, "-c", "raise SystemExit('no good')"],
        healthy=lambda _: False,
    )
    with pytest.raises(StandinError, match="broken does not start") as caught:
        supervisor.ensure(service)
    assert "no good" in (root / "run" / "broken.log").read_text()
    assert str(root / "run" / "broken.log") in caught.value.hint


def test_a_new_site_is_served_from_one_moment_on(root: Path, supervisor: Supervisor) -> None:
    (root / "site").rename(root / "first")
    (root / "site").symlink_to("first")
    process = supervisor.ensure(services.mirror(root, free_port()))
    (root / "second").mkdir()
    (root / "second" / "file").write_text("new")
    (root / "new").symlink_to("second")
    (root / "new").replace(root / "site")
    old = requests.get(f"http://{process.address}/file", timeout=5)
    assert old.text == "new"
    again = {"If-Modified-Since": old.headers["Last-Modified"]}
    assert requests.get(f"http://{process.address}/file", headers=again, timeout=5).status_code == 200


@pytest.mark.parametrize("path", ["/", "/absent", "/../run/mirror.json", "/%2e%2e/run/mirror.json"])
def test_only_the_sites_files_are_served(root: Path, supervisor: Supervisor, path: str) -> None:
    process = supervisor.ensure(services.mirror(root, free_port()))
    with socket.create_connection(("127.0.0.1", process.port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in connection.makefile("rb").readline()


def test_a_service_deaf_to_sigterm_is_killed(root: Path) -> None:
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    log = root / "run" / "deaf.log"
    service = Service(
        name="deaf",
        port=free_port(),
        command=lambda _: [sys.executable, "-c", program],
        healthy=lambda _: log.exists() and "up" in log.read_text(),
    )
    supervisor = Supervisor(root, print)
    process = supervisor.ensure(service)
    started = time.monotonic()
    assert supervisor.stop("deaf")
    assert not process.alive()
    assert time.monotonic() - started < 15


class _Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        if getattr(self.server, "registry", False):
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("is_registry", [True, False])
def test_only_a_registry_counts_as_a_registry(tmp_path: Path, is_registry: bool) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as http:
        http.registry = is_registry  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        service = services.registry(tmp_path, Path("/nowhere"), http.server_port)
        assert service.healthy(f"127.0.0.1:{http.server_port}") is is_registry
        http.shutdown()
        thread.join()


def test_the_registry_listens_on_loopback_and_stores_in_the_cache(tmp_path: Path) -> None:
    argv = services.registry(tmp_path, Path("/program"), 5).command(4711)
    assert list(argv[:2]) == ["/program", "serve"]
    config = json.loads(Path(argv[2]).read_text())
    assert config["http"]["addr"] == "127.0.0.1:4711"
    assert config["storage"]["filesystem"]["rootdirectory"] == str(tmp_path / "registry")


def test_health_tells_caches_apart(tmp_path: Path) -> None:
    assert server.health(tmp_path / "a") != server.health(tmp_path / "b")
