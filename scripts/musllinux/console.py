"""What a long run shows: a live table of images and their steps on a terminal, plain lines elsewhere.

Everything goes to standard error; standard output belongs to results (tables, --json). Usage:

    with console.progress(["musllinux_1_2_x86_64"]) as board:
        with board.step(image, "context"): ...
        run(argv, on_line=board.watch(image))
        board.finish(image, ok=True, note="217 MB")
"""

import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from musllinux.buildkit_log import Parser, State, Step

HEARTBEAT = 60.0  # seconds: plain lines say what is still running, so that a silent CI job looks alive
COMMAND_WIDTH = 160  # a failed command is shown up to here; the log has all of it


@dataclass
class _Row:
    """One image: what runs now (name -> when it started), how far it is, how it ended."""

    started: float
    running: dict[str, float] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    last: str = ""
    ended: float | None = None
    ok: bool | None = None


class _View(Protocol):
    def said(self, line: str) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Board:
    """The state of a run. Safe to call from several threads."""

    def __init__(self, images: Sequence[str], view: Callable[["Board"], _View]) -> None:
        now = time.monotonic()
        self._rows = {image: _Row(started=now) for image in images}
        self._lock = threading.RLock()
        self._view = view(self)

    def watch(self, image: str) -> Callable[[str], None]:
        """What to give to `run(on_line=...)` of a build: its stages become steps of the image."""
        return _Watcher(self, image).line

    @contextmanager
    def step(self, image: str, name: str) -> Iterator[None]:
        """A step of one's own, as long as the block runs; failed where it raises."""
        self.begin(image, name)
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self.end(image, name, "failed")
            raise
        self.end(image, name, seconds_text(time.monotonic() - started))

    def begin(self, image: str, name: str) -> None:
        with self._lock:
            self._row(image).running.setdefault(name, time.monotonic())

    def end(self, image: str, name: str, how: str) -> None:
        """`how` is what a reader sees: `12 s`, `cached`, `failed: exit code 3`."""
        with self._lock:
            row = self._row(image)
            row.running.pop(name, None)
            row.last = f"{name} {how}"
            self._view.said(f"[{image}] {row.last}")

    def count(self, image: str, done: int, total: int) -> None:
        """How many small steps (lines of the Dockerfile) are done, of those known so far."""
        with self._lock:
            row = self._row(image)
            row.done, row.total = done, total

    def note(self, image: str, text: str) -> None:
        with self._lock:
            self._view.said(f"[{image}] {text}")

    def finish(self, image: str, *, ok: bool, note: str = "") -> None:
        with self._lock:
            row = self._row(image)
            row.running.clear()
            row.ended, row.ok, row.last = time.monotonic(), ok, note
            took = seconds_text(row.ended - row.started)
            self._view.said(f"[{image}] {'ok' if ok else 'FAILED'} {took}{f': {note}' if note else ''}")

    def still(self) -> list[str]:
        """One line an image that is at work: what runs, and for how long."""
        with self._lock:
            return [f"[{image}] … {_running(row)}" for image, row in self._rows.items() if row.running]

    def table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, highlight=False)
        with self._lock:
            for image, row in self._rows.items():
                mark = {None: "[cyan]…[/]", True: "[green]ok[/]", False: "[red]FAILED[/]"}[row.ok]
                counted = f"{row.done}/{row.total}" if row.total else ""
                took = seconds_text((row.ended or time.monotonic()) - row.started)
                table.add_row(mark, image, counted, took, _plain(_running(row) or row.last))
        return table

    def __enter__(self) -> "Board":
        self._view.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._view.stop()

    def _row(self, image: str) -> _Row:
        return self._rows.setdefault(image, _Row(started=time.monotonic()))


class _Watcher:
    """Turns the steps of one build into stages: a reader thinks in those, not in lines of a Dockerfile."""

    def __init__(self, board: Board, image: str) -> None:
        self._board, self._image = board, image
        self._parser = Parser()
        self._closed: set[str] = set()

    def line(self, line: str) -> None:
        step = self._parser.feed(line)
        if step is None or not step.own:
            return
        self._stage(step)
        own = [s for s in self._parser.steps if s.own]
        known = {s.stage: s.total for s in own}
        self._board.count(self._image, sum(s.state is not State.RUNNING for s in own), sum(known.values()))

    def _stage(self, step: Step) -> None:
        """A stage ends with its last line; cached lines before it may still be reported, in any order."""
        name = step.stage or "image"
        if name in self._closed:
            return
        if step.state is State.RUNNING:
            self._board.begin(self._image, name)
        elif step.state is State.FAILED or step.index == step.total:
            self._closed.add(name)
            self._board.end(self._image, name, _failure(step) or self._stage_time(step.stage))

    def _stage_time(self, stage: str) -> str:
        steps = [s for s in self._parser.steps if s.own and s.stage == stage and s.state is not State.RUNNING]
        if any(s.state is State.CANCELED for s in steps):
            return "canceled"
        if all(s.state is State.CACHED for s in steps):
            return "cached"
        return seconds_text(sum(s.seconds for s in steps))


class _Plain:
    """Lines, and a heartbeat."""

    def __init__(self, board: Board, stream: TextIO, heartbeat: float) -> None:
        self._board, self._stream, self._heartbeat = board, stream, heartbeat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def said(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._heartbeat):
            for line in self._board.still():
                self.said(line)


class _Live:
    """The table, redrawn four times a second; what is said scrolls by above it only when it fails."""

    def __init__(self, board: Board, stream: TextIO) -> None:
        self._console = Console(file=stream, stderr=True)
        self._live = Live(
            get_renderable=board.table, console=self._console, refresh_per_second=4, redirect_stdout=False
        )

    def said(self, line: str) -> None:
        if "failed" in line.lower():
            self._console.print(_plain(line), highlight=False)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()


def progress(
    images: Sequence[str],
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
    heartbeat: float = HEARTBEAT,
) -> Board:
    """A board for `images`: live on a terminal, plain lines in CI, in a pipe and on a dumb terminal."""
    out = stream or sys.stderr
    if is_live(out, os.environ if environ is None else environ):
        return Board(images, lambda board: _Live(board, out))
    return Board(images, lambda board: _Plain(board, out, heartbeat))


def is_live(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether redrawing makes sense. CI=false and CI=0 are not CI. Rich itself honours NO_COLOR."""
    in_ci = environ.get("CI", "").lower() not in ("", "0", "false")
    return stream.isatty() and not in_ci and environ.get("TERM", "dumb") != "dumb"


def seconds_text(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 5 s."""
    if seconds < 9.95:  # noqa: PLR2004 - one decimal while it says something
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"  # noqa: PLR2004


def _running(row: _Row) -> str:
    now = time.monotonic()
    return ", ".join(f"{name} ({seconds_text(now - since)})" for name, since in row.running.items())


def _failure(step: Step) -> str:
    if step.state is not State.FAILED:
        return ""
    said = step.message if step.exit_code is None else f"exit code {step.exit_code}"
    return f"failed ({said}): {textwrap.shorten(step.command, COMMAND_WIDTH, placeholder=' …')}"


def _plain(text: str) -> str:
    """Without rich's markup: image ids in brackets are text."""
    return text.replace("[", "\\[")
