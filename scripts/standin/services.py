"""The stand-in's processes: started detached, recorded, checked, stopped only if provably ours."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

from standin import server
from standin.cache import write_atomically
from standin.errors import StandinError

_HOST = "127.0.0.1"
_START_SECONDS = 15.0  # a registry on a loaded machine needs two or three
_STOP_SECONDS = 5.0
_PAUSE = 0.05
_TRIES = 4
_HEALTH_TIMEOUT = 5.0


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process as recorded when it was started; `started` are the kernel's clock ticks since boot."""

    pid: int
    started: int
    argv: tuple[str, ...]
    port: int

    @property
    def address(self) -> str:
        """host:port."""
        return f"{_HOST}:{self.port}"

    def alive(self) -> bool:
        """Whether this very process still runs: same pid, same start, same command line."""
        return _identity(self.pid) == (self.started, self.argv)

    def gone(self) -> bool:
        """Whether it has ended altogether; a dying process loses its command line before its port."""
        return _started(self.pid) != self.started


@dataclass(frozen=True, kw_only=True)
class Service:
    """How to run and recognise one service. `command` makes the argv for a port."""

    name: str
    port: int
    command: Callable[[int], Sequence[str]]
    healthy: Callable[[str], bool]


def mirror(root: Path, port: int) -> Service:
    """The HTTP server of the cache at `root`."""
    expected = server.health(root)

    def command(number: int) -> list[str]:
        return [sys.executable, "-m", "standin.server", "--root", str(root), "--port", str(number)]

    return Service(name="mirror", port=port, command=command, healthy=lambda at: _json(at) == expected)


def registry(root: Path, program: Path, port: int) -> Service:
    """Debian's docker-registry with its storage in the cache at `root`."""

    def command(number: int) -> list[str]:
        config = root / "run" / "registry.yml"
        settings = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(root / "registry")}, "delete": {"enabled": True}},
            "http": {"addr": f"{_HOST}:{number}", "headers": {"X-Content-Type-Options": ["nosniff"]}},
        }
        write_atomically(config, json.dumps(settings).encode())  # JSON is YAML
        return [str(program), "serve", str(config)]

    return Service(name="registry", port=port, command=command, healthy=_speaks_v2)


class Supervisor:
    """Starts and stops the services of the cache at `root`; records lie in its run folder."""

    def __init__(self, root: Path, report: Callable[[str], None]) -> None:
        self._run = root / "run"
        self._report = report

    def running(self, name: str) -> Process | None:
        """The recorded process of that name, if it is alive."""
        process = self._recorded(name)
        return process if process and process.alive() else None

    def ensure(self, service: Service) -> Process:
        """The running, healthy service; started if it is not. A port once used is kept where possible."""
        recorded = self._recorded(service.name)
        if recorded and recorded.alive():
            if service.healthy(recorded.address):
                return recorded
            self.stop(service.name)
        first = recorded.port if recorded else service.port
        for port in self._ports(first):
            process = self._start(service, port)
            if process:
                if port != first:
                    self._report(f"port {first} is taken: the {service.name} is on {port}")
                return process
        raise StandinError(
            f"the stand-in's {service.name} does not start", hint=f"its log is {self._log(service.name)}"
        )

    def stop(self, name: str) -> bool:
        """Stop the recorded process if it is still the one that was started; whether there was one."""
        process = self._recorded(name)
        if process is None or not process.alive():
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
            if _wait(process.gone, _STOP_SECONDS):
                return True
        raise StandinError(f"the {name} (pid {process.pid}) does not stop", hint="stop it by hand")

    def _start(self, service: Service, port: int) -> Process | None:
        """Start on this port; None if it could not have it."""
        self._run.mkdir(parents=True, exist_ok=True)
        argv = [str(word) for word in service.command(port)]
        package_parent = str(Path(__file__).resolve().parents[1])
        environment = {**os.environ, "PYTHONPATH": package_parent, "OTEL_TRACES_EXPORTER": "none"}
        with self._log(service.name).open("wb") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self._run,
                start_new_session=True,
            )
        # Recorded before it answers: if this process is killed meanwhile, the next run knows whose process that is.
        process = Process(pid=child.pid, started=_started(child.pid) or 0, argv=tuple(argv), port=port)
        write_atomically(self._run / f"{service.name}.json", json.dumps(asdict(process)).encode())
        address = f"{_HOST}:{port}"
        up = _wait(lambda: child.poll() is not None or service.healthy(address), _START_SECONDS)
        if not up or child.poll() is not None or not process.alive():
            if child.poll() is None:
                child.kill()
                child.wait()
            return None
        child.returncode = 0  # it outlives us on purpose: no warning about a child left running
        return process

    def _recorded(self, name: str) -> Process | None:
        try:
            fields: dict[str, Any] = json.loads((self._run / f"{name}.json").read_text())
            return Process(**{**fields, "argv": tuple(fields["argv"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def _log(self, name: str) -> Path:
        return self._run / f"{name}.log"

    def _ports(self, first: int) -> Iterator[int]:
        if _free(first):
            yield first
        for _ in range(_TRIES):
            with socket.socket() as probe:
                probe.bind((_HOST, 0))
                port = probe.getsockname()[1]
            yield port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _started(pid: int) -> int | None:
    """Start time (proc(5), field 22 of stat); None if the process is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _identity(pid: int) -> tuple[int, tuple[str, ...]] | None:
    """Start time and command line; None if the process is gone or a zombie."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return None
    started = _started(pid)
    return None if started is None else (started, tuple(os.fsdecode(word) for word in words))


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)
    return True


def _get(url: str) -> requests.Response | None:
    session = requests.Session()
    session.trust_env = False  # a proxy must not get to see loopback traffic
    try:
        with session:
            return session.get(url, timeout=_HEALTH_TIMEOUT)
    except requests.RequestException:
        return None


def _json(address: str) -> Any:
    answer = _get(f"http://{address}{server.HEALTH}")
    try:
        return answer.json() if answer is not None else None
    except ValueError:
        return None


def _speaks_v2(address: str) -> bool:
    answer = _get(f"http://{address}/v2/")
    return answer is not None and answer.ok and "Docker-Distribution-Api-Version" in answer.headers
