"""BuildKit's `--progress=plain` stream as steps: what started, what ended and how, its last words.

One step is one line of a Dockerfile (or one of BuildKit's own, as `[internal] load build context`). Every
line of the stream starts with the step's number, and the first line with a new number is its title:

    #5 [python 2/7] RUN make        title: stage, which of how many, command
    #5 sha256:59524b…               BuildKit 0.8 only: the step's digest
    #5 0.347 checking for gcc       output, with the seconds since the step started
    #5 transferring context: 2B     BuildKit's own progress
    #5 ...                          the stream goes on with another step; the title is repeated afterwards
    #5 DONE 1.6s | CACHED | CANCELED | ERROR: executor failed running […]: exit code: 3

Samples of BuildKit 0.8 (Docker 20.10) and of buildx are in tests/unit/musllinux/data/buildkit.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

TAIL = 20  # lines of output kept for each step, for the message about one that fails

_LINE = re.compile(r"^#(?P<number>\d+) (?P<text>.*)$")
# Newer ones pad the index and, with several platforms, say `linux/amd64->arm64` before the stage.
_TITLE = re.compile(r"^\[(?:linux/\S+ )?(?:(?P<stage>[^\]]*?) +)?(?P<index>\d+)/(?P<total>\d+)\] (?P<command>.*)$")
_INTERNAL = re.compile(r"^\[(?P<stage>[^\]]+)\] (?P<command>.*)$")
_OUTPUT = re.compile(r"^\d+\.\d+ (?P<text>.*)$")
_DONE = re.compile(r"^DONE (?P<seconds>\d+(?:\.\d+)?)s$")
_ERROR = "ERROR: "
_EXIT_CODE = re.compile(r"exit code: (\d+)")


class State(StrEnum):
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    CANCELED = "canceled"  # another step failed first


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step as it stands after one line of the stream."""

    number: int
    stage: str  # as the Dockerfile names it (`stage-3` where it does not); BuildKit's own: "internal" or empty
    index: int  # 1-based place in its stage; 0 for BuildKit's own steps
    total: int  # steps in its stage; 0 likewise
    command: str  # as BuildKit shows it: one line, build arguments filled in
    state: State
    seconds: float = 0.0  # of a DONE step, as BuildKit counts
    message: str = ""  # of a FAILED step, BuildKit's own words
    tail: tuple[str, ...] = ()  # of a FAILED step: its last lines

    @property
    def own(self) -> bool:
        """Whether it is a line of the Dockerfile rather than BuildKit's housekeeping."""
        return self.total > 0

    @property
    def exit_code(self) -> int | None:
        """Of the command in a FAILED RUN step; None where it did not get that far."""
        found = _EXIT_CODE.search(self.message)
        return int(found[1]) if found else None


@dataclass
class _Seen:
    title: str
    step: Step
    said: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))


class Parser:
    """Takes the stream line by line. Never raises: what it does not know is output of nobody."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps so far, in the order of their first appearance, each in its latest state."""
        return tuple(seen.step for seen in self._seen.values())

    @property
    def failed(self) -> Step | None:
        """The first step that failed (the others are canceled then)."""
        return next((step for step in self.steps if step.state is State.FAILED), None)

    def feed(self, line: str) -> Step | None:
        """The step that this line starts or ends, or None.

        A step is reported RUNNING exactly once, before anything else of it. It may end more than once (a pull
        and then its unpacking, in BuildKit 0.8): the last ending counts.
        """
        match = _LINE.match(line.rstrip("\r\n"))
        if match is None:
            return None
        number, text = int(match["number"]), match["text"]
        seen = self._seen.get(number)
        if seen is None:
            return self._begin(number, text)
        ended = _ending(seen, text)
        if ended is None:
            _remember(seen, text)
            return None
        seen.step = ended
        return ended

    def _begin(self, number: int, title: str) -> Step | None:
        if title == "..." or _ending_of(title) is not None or _OUTPUT.match(title):
            return None  # the stream was joined in the middle: without a title there is nothing to report
        step = _titled(number, title)
        self._seen[number] = _Seen(title=title, step=step)
        return step


def parse(lines: Iterable[str]) -> tuple[Step, ...]:
    """All steps of a finished stream, each in its last state."""
    parser = Parser()
    for line in lines:
        parser.feed(line)
    return parser.steps


def _titled(number: int, title: str) -> Step:
    state = State.RUNNING
    if match := _TITLE.match(title):
        index, total = int(match["index"]), int(match["total"])
        stage, command = match["stage"] or "", match["command"]
        return Step(number=number, stage=stage, index=index, total=total, command=command, state=state)
    match = _INTERNAL.match(title)
    stage, command = (match["stage"], match["command"]) if match else ("", title)
    return Step(number=number, stage=stage, index=0, total=0, command=command, state=state)


def _ending_of(text: str) -> tuple[State, float, str] | None:
    if match := _DONE.match(text):
        return State.DONE, float(match["seconds"]), ""
    if text == "CACHED":
        return State.CACHED, 0.0, ""
    if text == "CANCELED":
        return State.CANCELED, 0.0, ""
    if text.startswith(_ERROR):
        return State.FAILED, 0.0, text.removeprefix(_ERROR)
    return None


def _ending(seen: _Seen, text: str) -> Step | None:
    found = _ending_of(text)
    if found is None:
        return None
    state, seconds, message = found
    step = seen.step
    if state is State.CANCELED and step.state is not State.RUNNING:
        return None  # it had ended; only something that waited for it was canceled
    return Step(
        number=step.number,
        stage=step.stage,
        index=step.index,
        total=step.total,
        command=step.command,
        state=state,
        seconds=seconds,
        message=message,
        tail=tuple(seen.said) if state is State.FAILED else (),
    )


def _remember(seen: _Seen, text: str) -> None:
    if match := _OUTPUT.match(text):
        # A progress bar redraws its line with carriage returns: its last state is what one would have seen.
        seen.said.append(match["text"].rsplit("\r", 1)[-1])
