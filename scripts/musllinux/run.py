"""One way to run a program: streamed, logged, stopped as a whole group, shown for pasting when it fails.

Secrets never go into an argument: those end up in logs and in every process list. Give a file or a variable.
"""

import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from musllinux.errors import FactoryError
from musllinux.redact import redact_value

TAIL = 15  # lines of a failed command that its error repeats
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 10.0  # seconds between asking a process group to end and killing it
_SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|AUTH|CREDENTIAL|KEY", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A command that ended: its exit code, everything it said (both streams, as they came), its wall time."""

    argv: tuple[str, ...]
    code: int
    output: str
    seconds: float


@dataclass
class CommandError(FactoryError):
    """A command failed. `code`: exit code (-N: killed by signal N, 127: not found); `tail`: last lines."""

    code: int = 1
    tail: tuple[str, ...] = ()


class _Interrupts:
    """Signals that end the work. One that comes while a program is being started waits until the program is known:

    raised between fork and the end of Popen, KeyboardInterrupt would leave a child that nobody can name.
    """

    def __init__(self) -> None:
        self._holding = self._came = False

    def handle(self, *_: object) -> None:
        if self._holding:
            self._came = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """For the main thread, which alone gets signals; nothing to others."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._holding, self._came = True, False
        try:
            yield
        finally:
            self._holding = False
            if self._came:
                raise KeyboardInterrupt


_interrupts = _Interrupts()


class _Children:
    """The process groups alive now, so that an interrupted main thread can stop what its workers run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._endings: list[Callable[[], None]] = []
        self._stopping = False

    def start(self, make: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with _interrupts.held(), self._lock:
            if self._stopping:
                raise KeyboardInterrupt
            process = make()
            self._alive.add(process)
            return process

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._alive.discard(process)

    def add(self, ending: Callable[[], None]) -> None:
        with self._lock:
            self._endings.append(ending)

    def remove(self, ending: Callable[[], None]) -> None:
        with self._lock:
            self._endings.remove(ending)

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            alive, endings = list(self._alive), list(self._endings)
        for ending in endings:
            ending()
        for process in alive:
            _signal(process, _interruption())
        deadline = time.monotonic() + GRACE
        for process in alive:
            _await_end(process, max(0.0, deadline - time.monotonic()))

    def allow(self) -> None:
        with self._lock:
            self._stopping = False


_children = _Children()


def stop_all() -> None:
    """End every program that `run` has started in any thread, and let none start any more.

    For the main thread's `except KeyboardInterrupt`: worker threads do not see Ctrl-C. Their `run` raises
    CommandError for a program that was ended, KeyboardInterrupt for one that may not start any more.
    """
    _children.stop()


@contextmanager
def when_stopped(ending: Callable[[], None]) -> Iterator[None]:
    """Inside, `stop_all` does this too, from its own thread: what a worker waits for that is no program of `run`."""
    _children.add(ending)
    try:
        yield
    finally:
        _children.remove(ending)


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP end the work as Ctrl-C does, and all children with it. Main thread only."""
    _children.allow()
    heard = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # nohup, a shell's `&`
    before = {number: signal.signal(number, _interrupts.handle) for number in heard}
    try:
        yield
    except KeyboardInterrupt:
        stop_all()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    timeout: float | None = None,
    stdin: bytes = b"",
    clean: Callable[[str], str] = str,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run `argv` to its end; both output streams go to `log` (appended) and, line by line, to `on_line`.

    `clean` gets every line before anybody sees it, to hide what must not be seen; `pass_fds` stay open in the program.

    `env` is laid over this process's environment; `timeout` is in seconds. The program gets a process group
    of its own, which Ctrl-C (KeyboardInterrupt) and the timeout end as a whole: asked, after 10 s killed.

    Raises CommandError (a FactoryError) with the command as one can paste it, its last lines and the log:
    always when it cannot start or takes too long, and with `check` when its exit code is not 0.
    """
    command = tuple(str(word) for word in argv)
    shown = pasteable(command, cwd, env)
    started = time.monotonic()
    with _opened(log) as stream:
        stream.write(f"+ {shown}\n".encode())
        stream.flush()
        process = _start(command, cwd, env, stdin, shown, pass_fds)
        late = threading.Event()
        said = _follow(process, stream, on_line, timeout, late, clean)
    seconds = time.monotonic() - started
    if late.is_set():
        raise _failed(f"no end after {timeout:g} s", process.returncode, shown, said, log)
    if check and process.returncode:
        raise _failed(_ending(process.returncode), process.returncode, shown, said, log)
    return Completed(argv=command, code=process.returncode, output="\n".join(said), seconds=seconds)


def pasteable(argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """The command line for a shell, with folder and variables; secret-looking ones and passwords are left out."""
    words = [
        f"{k}={'…' if _SECRET.search(k) else shlex.quote(redact_value(v))}" for k, v in sorted((env or {}).items())
    ]
    line = " ".join([*words, shlex.join(argv)])
    return f"cd {shlex.quote(str(cwd))} && {line}" if cwd else line


@contextmanager
def _opened(log: Path | None) -> Iterator[IO[bytes]]:
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    with Path(log or os.devnull).open("ab") as stream:
        yield stream


def _start(
    command: tuple[str, ...],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: bytes,
    shown: str,
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    if cwd is not None and not cwd.is_dir():
        raise CommandError(f"no folder {cwd} to run in: {shown}", code=127)
    # A file, not a pipe: nobody has to feed it while the output is read.
    with tempfile.TemporaryFile() as fed:
        fed.write(stdin)
        fed.seek(0)

        def make() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=fed,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )

        try:
            return _children.start(make)
        except OSError as error:
            raise CommandError(
                f"cannot start {command[0]}: {error.strerror}: {shown}",
                hint=f"install {command[0]}, or put it on PATH",
                code=127,
            ) from error


def _follow(
    process: subprocess.Popen[bytes],
    stream: IO[bytes],
    on_line: Callable[[str], None] | None,
    timeout: float | None,
    late: threading.Event,
    clean: Callable[[str], str],
) -> list[str]:
    """Read the program to its end. Whatever happens here, afterwards it is gone."""
    said: list[str] = []
    timer = threading.Timer(timeout or 0, _too_late, (process, late))
    timer.daemon = True
    if timeout is not None:
        timer.start()
    try:
        assert process.stdout is not None  # noqa: S101 - stdout=PIPE above
        for raw in process.stdout:
            text = raw.decode(errors="replace")
            bare = text.rstrip("\r\n")
            line = clean(bare)
            stream.write((line + text[len(bare) :]).encode())
            stream.flush()
            said.append(line)
            if on_line is not None:
                on_line(line)
        process.wait()
    except BaseException:
        _signal(process, _interruption())
        _await_end(process, GRACE)
        raise
    finally:
        timer.cancel()
        if late.is_set():
            timer.join()
        _children.ended(process)
        if process.stdout is not None:
            process.stdout.close()
    return said


def _too_late(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _signal(process, signal.SIGTERM)
    _await_end(process, GRACE)


def _await_end(process: subprocess.Popen[bytes], grace: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    # Also after a quick end: what the program itself started is in its group and may live on.
    _signal(process, signal.SIGKILL)
    process.wait()


def _interruption() -> signal.Signals:
    """What asks a program to end: Ctrl-C's signal, which some clean up after, or SIGTERM where that would not be heard.

    A shell starts what it puts in the background with SIGINT ignored, and programs hand that on (POSIX, Shell 2.11).
    """
    return signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # gone already, with its whole group
        os.killpg(process.pid, number)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _failed(what: str, code: int, shown: str, said: Sequence[str], log: Path | None) -> CommandError:
    tail = tuple(line for line in said if line.strip())[-TAIL:]
    text = "".join(f"\n    {line}" for line in tail)
    return CommandError(f"{what} from: {shown}{text}", code=code, tail=tail, log=str(log or ""))
