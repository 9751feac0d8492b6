"""The containers of one image's smoke test: made through the engine's API, removed at the end whatever happens."""

import hashlib
import io
import os
import shlex
import socket
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musllinux.engine import connect, image_facts
from musllinux.smoke.registry import Failed
from musllinux.smoke.streams import Said, TooLate, talk

if TYPE_CHECKING:
    import docker

LABEL = "io.github.musllinux-factory.smoke"  # which run a container is of
OWNER = f"{LABEL}.owner"  # for whom it ran: `owner_of`
LIFETIME = 7200  # seconds: a container of a killed run ends by itself where no later run removes it
# Images hold no bytecode. Here it is kept from one start of Python to the next, outside of what is tried: emulated,
# compiling pip's modules anew takes most of a start.
BYTECODE = {"PYTHONPYCACHEPREFIX": "/smoke/bytecode"}
SHOWN = 25  # lines of a failed command's output in a check's detail; the log has all
Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A command that ended in a container."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last non-empty line of standard output."""
        return next((line for line in reversed(self.out.splitlines()) if line.strip()), "")


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or folder of this machine in a container, read only."""

    source: Path
    target: str


class Engine:
    """The API, one client a thread: docker-py's sessions are not made for sharing."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._all: list[docker.DockerClient] = []

    @property
    def client(self) -> "docker.DockerClient":
        if not hasattr(self._local, "client"):
            self._local.client = connect(timeout=600)
            self._all.append(self._local.client)
        found: docker.DockerClient = self._local.client
        return found

    @property
    def api(self) -> Any:
        return self.client.api

    def close(self) -> None:
        for client in self._all:
            client.close()


@dataclass(frozen=True, kw_only=True)
class Container:
    """A running container. Commands go through `entry`, the image's own entrypoint."""

    engine: Engine
    id: str
    entry: tuple[str, ...]
    slow: float  # how much longer than natively everything may take

    def run(
        self,
        *argv: str,
        log: Log,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        user: str = "",
        cwd: str = "/",
        seconds: float = 240,
        check: bool = True,
        bypass: bool = False,
    ) -> Result:
        """Run a command to its end. Raises Failed when it takes longer than `seconds` (natively), and with `check` when
        its exit code is not 0. `bypass` leaves out the entrypoint, as `docker exec` does."""
        shown = pasteable(argv, env)
        options = {"environment": {**BYTECODE, **(env or {})}, "user": user, "workdir": cwd}
        command = argv if bypass else (*self.entry, *argv)
        code, said = self._exec(command, stdin, seconds * self.slow, options, shown)
        out, err = (text.decode(errors="replace") for text in (said.out, said.err))
        result = Result(argv=argv, code=code, out=out, err=err)
        note(log, shown, result)
        if check and result.code:
            raise Failed(failure(shown, result))
        return result

    def _exec(
        self, command: Sequence[str], stdin: bytes, seconds: float, options: Mapping[str, Any], shown: str
    ) -> tuple[int, Said]:
        from docker.errors import APIError  # noqa: PLC0415

        api = self.engine.api
        try:
            made = api.exec_create(self.id, list(command), stdin=True, **options)["Id"]
            said = talk(api.exec_start(made, socket=True), stdin, seconds)
            return int(api.exec_inspect(made)["ExitCode"]), said
        except TooLate:
            raise Failed(f"no end after {seconds:g} s: {shown}") from None
        except APIError as error:
            raise Failed(f"the engine refuses: {error.explanation or error}: {shown}") from None

    def read(self, *argv: str, log: Log, seconds: float = 240) -> bytes:
        """What a command writes, as bytes."""
        shown = pasteable(argv)
        log(f"+ {shown}")
        code, said = self._exec((*self.entry, *argv), b"", seconds * self.slow, {}, shown)
        if code:
            err = said.err.decode(errors="replace")
            raise Failed(failure(shown, Result(argv=argv, code=code, out="", err=err)))
        return said.out

    def put(self, files: Mapping[str, bytes | Path], folder: str = "/") -> None:
        """Write files (or whole folders, links followed) below `folder`, which must exist."""
        self.put_tar(pack(files), folder)

    def put_tar(self, tar: bytes, folder: str) -> None:
        self.engine.api.put_archive(self.id, folder, tar)

    def archive_of(self, paths: Iterable[str], log: Log) -> bytes:
        """A tar of these files, links followed, without their folders. Needs GNU tar there."""
        return self.read("tar", "--transform=s,.*/,,", "-chPf", "-", *sorted(paths), log=log)

    def get(self, path: str) -> bytes:
        """A file's content."""
        with tarfile.open(fileobj=io.BytesIO(self.archive(path))) as tar:
            member = tar.extractfile(tar.next() or tarfile.TarInfo())
            return member.read() if member else b""

    def archive(self, path: str) -> bytes:
        """A file or folder as the engine's tar stream."""
        from docker.errors import NotFound  # noqa: PLC0415

        try:
            chunks, _ = self.engine.api.get_archive(self.id, path)
        except NotFound:
            raise Failed(f"{path} is not there") from None
        return b"".join(chunks)

    def remove(self) -> None:
        """Stop and delete it; its anonymous volumes go with it."""
        from docker.errors import APIError  # noqa: PLC0415

        with suppress(APIError):
            self.engine.api.remove_container(self.id, force=True, v=True)


def owner_of(place: Path) -> str:
    """Who tries images at this place (build/<id> of this machine): a word for labels, with no path in it."""
    return hashlib.sha256(f"{socket.gethostname()}:{place.resolve()}".encode()).hexdigest()[:16]


@dataclass
class Containers:
    """All containers of one image's run. Safe to use from several threads."""

    engine: Engine
    slow: float
    owner: str = ""  # of which there is one run at a time (`alone`)
    run_id: str = field(default_factory=lambda: f"{os.getpid()}-{uuid.uuid4().hex[:8]}")
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _made: list[Container] = field(default_factory=list)
    _closed: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """What every container of this run carries, those of programs that make their own too (cibuildwheel)."""
        return {LABEL: self.run_id, **({OWNER: self.owner} if self.owner else {})}

    def sweep(self) -> None:
        """Remove the containers of the same owner's runs: they were killed, since there is one run at a time."""
        from docker.errors import APIError  # noqa: PLC0415

        for left in self.engine.api.containers(all=True, quiet=True, filters={"label": f"{OWNER}={self.owner}"}):
            with suppress(APIError):  # it went by itself
                self.engine.api.remove_container(left["Id"], force=True, v=True)

    def start(
        self,
        image: str,
        platform: str,
        *,
        entry: Sequence[str] = (),
        mounts: Sequence[Mount] = (),
        network: str = "",
        tmpfs: Sequence[str] = (),
    ) -> Container:
        """A container that waits for commands. `tmpfs`: folders that are kept in memory."""
        idle = ["sleep", str(LIFETIME)]
        container = self.create(image, idle, platform, entry=entry, mounts=mounts, network=network, tmpfs=tmpfs)
        self.engine.api.start(container.id)
        return container

    def create(
        self,
        image: str,
        command: Sequence[str],
        platform: str,
        *,
        entry: Sequence[str] = (),
        mounts: Sequence[Mount] = (),
        network: str = "",
        tmpfs: Sequence[str] = (),
        user: str = "",
        keep: bool = False,
    ) -> Container:
        """A container that is not started. It goes away when its command ends, unless `keep`."""
        api = self.engine.api
        self._pull(image, platform)
        binds = [f"{m.source}:{m.target}:ro" for m in mounts]
        memory = dict.fromkeys(tmpfs, "exec")
        host = api.create_host_config(
            binds=binds, network_mode=network or None, auto_remove=not keep, tmpfs=memory or None
        )
        made = api.create_container(
            image,
            list(command),
            host_config=host,
            labels=self.labels,
            platform=platform,
            stdin_open=True,
            user=user or None,
        )
        container = Container(engine=self.engine, id=made["Id"], entry=tuple(entry), slow=self.slow)
        with self._lock:
            self._made.append(container)
            closed = self._closed
        if closed:  # made while the run was being stopped
            container.remove()
            raise Failed("the run was stopped")
        return container

    def attach(self, container: Container, *, stdin: bytes, log: Log, seconds: float = 120) -> Result:
        """Start a created container, talk to its command, wait for its end."""
        api = self.engine.api
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        connection = api.attach_socket(container.id, params=params)
        api.start(container.id)
        try:
            said = talk(connection, stdin, seconds * self.slow)
        except TooLate:
            raise Failed(f"no end after {seconds * self.slow:g} s") from None
        code = int(api.wait(container.id, timeout=60)["StatusCode"])
        result = Result(argv=(), code=code, out=said.out.decode("utf-8", "replace"), err=said.err.decode())
        note(log, "docker start --attach --interactive", result)
        return result

    def close(self) -> None:
        """Remove every container made here, from whichever thread."""
        with self._lock:
            self._closed = True
            made = list(self._made)
        for container in made:
            container.remove()

    def _pull(self, image: str, platform: str) -> None:
        """Bring an image that is not here, or is here for another platform: a tag over several names one at a time."""
        from docker.errors import APIError  # noqa: PLC0415

        found = image_facts(image, self.engine.client)
        if found and found.is_for(platform):
            return
        try:
            self.engine.client.images.pull(image, platform=platform)
        except APIError as error:
            raise Failed(f"cannot pull {image}: {error.explanation or error}") from None


def pack(files: Mapping[str, bytes | Path]) -> bytes:
    """A tar of files (content or path) and folders (links followed), owned by root, without caches."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        for name, content in files.items():
            if isinstance(content, Path):
                tar.add(content, name, filter=_plain)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if Path(info.name).name in {"__pycache__", "build", "dist"}:
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def pasteable(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    return shlex.join([*(f"{name}={value}" for name, value in (env or {}).items()), *argv])


def note(log: Log, shown: str, result: Result) -> None:
    log(f"+ {shown}")
    for text in (result.out, result.err):
        if text.strip():
            log(text.rstrip("\n"))
    if result.code:
        log(f"(exit code {result.code})")


def failure(shown: str, result: Result) -> str:
    lines = [line for text in (result.out, result.err) for line in text.rstrip().splitlines()][-SHOWN:]
    return "\n".join([f"exit code {result.code}: {_short(shown)}", *(f"  {line}" for line in lines)])


def _short(shown: str, width: int = 300) -> str:
    first = shown.replace("\n", "; ")
    return first if len(first) <= width else first[: width - 1] + "…"
