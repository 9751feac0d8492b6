"""failure: what a build that failed says, and which remedy it names."""

import pytest

from musllinux import failure
from musllinux.buildkit_log import Parser
from musllinux.engine import EngineError
from musllinux.failure import explain
from musllinux.run import CommandError


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "_engine_gone", lambda: None)


def failed(*lines: str) -> Parser:
    steps = Parser()
    for line in lines:
        steps.feed(line)
    return steps


def said(*lines: str) -> tuple[str, str]:
    error = explain("image", CommandError("exit code 1", tail=lines), failed(*lines), "/log")
    assert error.log == "/log"
    return error.message, error.hint


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("cc: fatal error: x.o: No space left on device".replace("No", "no"), "docker builder prune"),
        ("WARNING: fetching http://127.0.0.1:1/v3.22/main: temporary error (try again later)", "mirror"),
        ("ERROR: https://m/v3.22/main: UNTRUSTED signature", "did not sign"),
        ("ERROR: zlib-1.3: BAD archive", "did not sign"),
        ("ERROR: https://m/: TLS: server certificate not trusted", "--ca-bundle"),
        ("make: *** [all] Error 2", "log has the step's whole output"),
    ],
)
def test_a_failed_step_is_named_with_its_last_words_and_a_remedy(output: str, remedy: str) -> None:
    message, hint = said("#5 [sysroot 2/7] RUN /b/x.sh", f"#5 0.3 {output}", "#5 ERROR: executor failed: exit code: 1")
    assert message == f"image: stage sysroot, step 2 of 7 failed: RUN /b/x.sh\n    {output}"
    assert remedy in hint


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ('failed to do request: Head "http://127.0.0.1:5/v2/": connect: connection refused', "registry"),
        ("unexpected commit digest sha256:aa, expected sha256:bb: failed precondition", "changed on the way"),
    ],
)
def test_a_base_that_cannot_be_pulled_is_named_with_the_engines_words(message: str, remedy: str) -> None:
    line, hint = said("#3 [internal] load metadata for 127.0.0.1:5/alpine:3.22", f"#3 ERROR: {message}")
    assert line == f"image: load metadata for 127.0.0.1:5/alpine:3.22: {message}"
    assert remedy in hint


def test_an_engine_that_went_away_is_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = EngineError("no container engine answers at /var/run/docker.sock", hint="start it")
    monkeypatch.setattr(failure, "_engine_gone", lambda: gone)
    message, hint = said("#5 [sysroot 2/7] RUN /b/x.sh", "#5 ERROR: rpc error: code = Unavailable desc = EOF")
    assert message == (
        "image: the container engine went away during the build: no container engine answers at /var/run/docker.sock"
    )
    assert hint == "start it; then run this again: finished steps are kept"


def test_without_any_step_the_command_itself_is_what_failed() -> None:
    assert said("unknown flag: --secret")[0] == "image: exit code 1"
