from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux.buildkit_log import TAIL, Parser, State, Step, parse

DATA = Path(__file__).parent / "data" / "buildkit"
LOGS = sorted(path.name for path in DATA.glob("*.log"))


def steps(name: str) -> tuple[Step, ...]:
    return parse((DATA / name).read_text().splitlines())


def own(name: str) -> list[tuple[str, int, int, State]]:
    return [(s.stage, s.index, s.total, s.state) for s in steps(name) if s.own]


def test_a_finished_build_has_every_line_of_the_dockerfile_with_its_seconds() -> None:
    found = [(f"{s.stage} {s.index}/{s.total}", s.command[:8], s.seconds) for s in steps("0.8-ok.log") if s.own]
    assert found == [
        ("base 1/1", "ADD x.ta", 0.2),
        ("a 1/2", "RUN echo", 1.6),
        ("a 2/2", "RUN --mo", 1.6),  # interrupted by "..." and shown again later
        ("b 1/1", "RUN i=0;", 2.0),
        ("stage-3 1/3", "COPY --f", 0.1),
        ("stage-3 2/3", "COPY --f", 0.0),
        ("stage-3 3/3", "RUN test", 0.4),
    ]


def test_buildkits_own_steps_are_told_from_the_dockerfiles() -> None:
    assert [(s.stage, s.command) for s in steps("0.8-ok.log") if not s.own] == [
        ("internal", "load build definition from Dockerfile"),
        ("internal", "load .dockerignore"),
        ("internal", "load build context"),
        ("", "exporting to image"),
    ]


def test_a_rebuild_is_all_cached() -> None:
    assert {state for _, _, _, state in own("0.8-cached.log")} == {State.CACHED}


def test_a_failed_step_has_its_command_exit_code_and_last_words() -> None:
    parser = Parser()
    for line in (DATA / "0.8-failed.log").read_text().splitlines():
        parser.feed(line)
    failed = parser.failed
    assert failed is not None
    assert (failed.stage, failed.exit_code, failed.tail) == ("stage-3", 3, ("oops",))
    assert failed.command == 'RUN test -z "1" || { echo oops; exit 3; }'


def test_a_failure_before_anything_ran_has_buildkits_words_and_no_exit_code() -> None:
    failed = next(s for s in steps("0.8-missing-file.log") if s.state is State.FAILED)
    assert (failed.command, failed.message) == ("COPY nope /nope", '"/nope" not found: not found')
    assert failed.exit_code is None


def test_a_step_that_had_ended_is_not_canceled_afterwards() -> None:
    assert ("build", 2, 2, State.CACHED) in own("0.8-missing-file.log")


def test_what_ran_beside_a_failure_is_canceled() -> None:
    assert own("0.8-canceled.log") == [
        ("two", 1, 2, State.CACHED),
        ("one", 2, 2, State.CANCELED),
        ("two", 2, 2, State.FAILED),
    ]


def test_newer_buildkit_pads_numbers_and_names_platforms() -> None:
    assert own("buildx-failed.log") == [
        ("native", 1, 12, State.DONE),
        ("native", 2, 12, State.DONE),
        ("native", 3, 12, State.CACHED),
        ("native", 12, 12, State.FAILED),
    ]
    failed = steps("buildx-failed.log")[-1]
    assert (failed.exit_code, failed.tail[-1]) == (2, "make: *** [Makefile:1: all] Error 2")


def test_a_dockerfile_that_does_not_parse_has_no_failed_step() -> None:
    assert own("0.8-syntax.log") == []


def test_a_programs_output_cannot_end_its_step() -> None:
    found = parse(["#7 [a 1/1] RUN x", "#7 0.1 DONE 3s", "#7 0.2 ERROR: none", "#7 0.3 CACHED", "#7 DONE 0.4s"])
    assert [(s.state, s.seconds) for s in found] == [(State.DONE, 0.4)]


def test_of_a_redrawn_line_the_last_state_is_kept() -> None:
    found = parse(["#7 [a 1/1] RUN x", "#7 0.1 10%\r50%\r99%", "#7 ERROR: no: exit code: 1"])
    assert found[0].tail == ("99%",)


@pytest.mark.parametrize("name", LOGS)
def test_the_end_of_a_line_does_not_matter(name: str) -> None:
    lines = (DATA / name).read_text().splitlines()
    assert parse(f"{line}\r\n" for line in lines) == parse(lines)


ENDINGS = {State.DONE: "DONE 1.5s", State.CACHED: "CACHED", State.FAILED: "ERROR: bad: exit code: 9"}
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, blacklist_characters="\x85\u2028\u2029"))


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], dict[int, tuple[str, State, int]]]:
    """An interleaved stream, and what each of its steps must come out as: command, state, lines of output."""
    count = draw(st.integers(1, 6))
    expected: dict[int, tuple[str, State, int]] = {}
    queues: list[list[str]] = []
    for number in range(1, count + 1):
        command = "RUN " + draw(WORDS)
        said = draw(st.lists(WORDS, max_size=2 * TAIL))
        state = draw(st.sampled_from(list(ENDINGS)))
        expected[number] = (command, state, len(said))
        title = f"#{number} [s{number} 1/1] {command}"
        queues.append([title, *(f"#{number} 0.5 {text}" for text in said), f"#{number} {ENDINGS[state]}"])
    lines: list[str] = []
    while any(queues):
        queue = draw(st.sampled_from([q for q in queues if q]))
        taken = draw(st.integers(1, len(queue)))
        at = int(queue[0].split()[0].removeprefix("#"))
        again = [] if "[s" in queue[0][:8] else [f"#{at} [s{at} 1/1] {expected[at][0]}"]
        lines += ["", *again, *queue[:taken], f"#{at} ..."]
        del queue[:taken]
    return lines, expected


@given(streams())
def test_any_interleaving_gives_every_step_once_with_its_own_ending(
    stream: tuple[list[str], dict[int, tuple[str, State, int]]],
) -> None:
    lines, expected = stream
    found = {s.number: (s.command, s.state) for s in parse(lines)}
    assert found == {number: (command, state) for number, (command, state, _) in expected.items()}
    for step in parse(lines):
        if step.state is State.FAILED:
            assert len(step.tail) == min(TAIL, expected[step.number][2])


@given(st.lists(st.one_of(st.text(), st.from_regex(r"#\d{1,2} .*"), st.sampled_from(["#1 ...", "#1 DONE 1.0s"]))))
def test_no_stream_makes_it_raise_and_running_is_said_once_before_the_end(lines: list[str]) -> None:
    parser = Parser()
    reported: dict[int, list[State]] = {}
    for line in lines:
        step = parser.feed(line)
        if step is not None:
            reported.setdefault(step.number, []).append(step.state)
    for states in reported.values():
        assert states[0] is State.RUNNING
        assert State.RUNNING not in states[1:]
