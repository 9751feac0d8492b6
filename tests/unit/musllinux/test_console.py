import io
import threading
from pathlib import Path

import pytest

from musllinux import console

DATA = Path(__file__).parent / "data" / "buildkit"
ID = "musllinux_1_2_x86_64"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def plain(log: str) -> list[str]:
    stream = io.StringIO()
    with console.progress([ID], stream=stream, environ={}) as board:
        watch = board.watch(ID)
        for line in (DATA / log).read_text().splitlines():
            watch(line)
    return stream.getvalue().splitlines()


def test_without_a_terminal_each_stage_is_a_line_with_its_time() -> None:
    assert plain("0.8-ok.log") == [
        f"[{ID}] base 0.2 s",
        f"[{ID}] b 2.0 s",
        f"[{ID}] a 3.2 s",
        f"[{ID}] stage-3 0.5 s",
    ]


def test_cached_stages_are_said_once_in_whatever_order_their_lines_come() -> None:
    assert sorted(plain("0.8-cached.log")) == [f"[{ID}] {stage} cached" for stage in ("a", "b", "base", "stage-3")]


def test_a_failed_stage_says_how_and_where() -> None:
    assert plain("0.8-failed.log")[-1] == (
        f'[{ID}] stage-3 failed (exit code 3): RUN test -z "1" || {{ echo oops; exit 3; }}'
    )


def test_a_stage_without_an_exit_code_says_buildkits_reason() -> None:
    assert plain("0.8-missing-file.log")[-1] == f'[{ID}] image failed ("/nope" not found: not found): COPY nope /nope'


def test_a_long_command_is_cut() -> None:
    stream = io.StringIO()
    with console.progress([ID], stream=stream, environ={}) as board:
        watch = board.watch(ID)
        for line in ("#1 [a 1/1] RUN " + "word " * 200, "#1 ERROR: x: exit code: 1"):
            watch(line)
    assert len(stream.getvalue()) < console.COMMAND_WIDTH + 80


def test_a_step_of_ones_own_is_timed_and_fails_with_its_exception() -> None:
    stream = io.StringIO()
    with console.progress([ID], stream=stream, environ={}) as board:
        with board.step(ID, "context"):
            pass
        with pytest.raises(ValueError, match="no"), board.step(ID, "smoke"):
            raise ValueError("no")
        board.finish(ID, ok=False, note="see build.log")
    assert stream.getvalue().splitlines() == [
        f"[{ID}] context 0.0 s",
        f"[{ID}] smoke failed",
        f"[{ID}] FAILED 0.0 s: see build.log",
    ]


def test_a_silent_stretch_shows_what_still_runs() -> None:
    seen = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "… cpython (" in text:
                seen.set()
            return super().write(text)

    with (
        console.progress([ID], stream=Stream(), environ={}, heartbeat=0.01) as board,
        board.step(ID, "cpython"),
    ):
        assert seen.wait(10)


def test_a_terminal_gets_a_table_with_every_image_and_its_end() -> None:
    stream = Terminal()
    with console.progress([ID, "other"], stream=stream, environ={"TERM": "xterm"}) as board:
        for line in (DATA / "0.8-failed.log").read_text().splitlines():
            board.watch(ID)(line)
        board.finish(ID, ok=False, note="stage [x] failed")
        board.finish("other", ok=True)
    text = stream.getvalue()
    assert "FAILED" in text
    assert "stage [x] failed" in text
    assert "other" in text


@pytest.mark.parametrize(
    ("environ", "live"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "xterm", "CI": "1"}, False),
        ({"TERM": "xterm", "CI": "false"}, True),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_redrawing_is_for_terminals_outside_ci(environ: dict[str, str], live: bool) -> None:
    assert console.is_live(Terminal(), environ) is live
    assert not console.is_live(io.StringIO(), environ)


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    def colours() -> bool:
        stream = Terminal()
        with console.progress([ID], stream=stream, environ={"TERM": "xterm"}) as board:
            board.finish(ID, ok=True)
        return "\x1b[32m" in stream.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (120, "2 min 0 s"),
        (3725, "62 min 5 s"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert console.seconds_text(seconds) == text
