import os
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux import run as runner
from musllinux.run import GRACE, CommandError, interruptible, pasteable, run, stop_all, when_stopped


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_both_streams_come_back_line_by_line_and_land_in_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "new" / "build.log"
    done = run(sh("echo one; echo two >&2; printf last"), log=log, on_line=lines.append)
    assert (done.code, done.output) == (0, "one\ntwo\nlast")
    assert lines == ["one", "two", "last"]
    assert log.read_text() == "+ sh -c 'echo one; echo two >&2; printf last'\none\ntwo\nlast"


def test_the_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(["echo", "a"], log=log)
    run(["echo", "b"], log=log)
    assert log.read_text() == "+ echo a\na\n+ echo b\nb\n"


def test_a_failure_shows_a_command_that_can_be_pasted_its_last_lines_and_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "seq 100; echo 'no such thing'; exit 3"
    with pytest.raises(CommandError) as caught:
        run(sh(script), cwd=tmp_path, env={"A": "x y"}, log=log)
    error = caught.value
    first, *rest = error.message.splitlines()
    assert first == f"exit code 3 from: cd {tmp_path} && A='x y' sh -c {shlex.quote(script)}"
    assert rest[-1].strip() == "no such thing"
    assert (error.code, error.log, len(error.tail)) == (3, str(log), runner.TAIL)


def test_an_unchecked_failure_is_an_answer() -> None:
    assert run(sh("exit 4"), check=False).code == 4


def test_a_signal_is_named() -> None:
    with pytest.raises(CommandError, match=r"killed by SIGKILL from: sh -c"):
        run(sh("kill -9 $$"))


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match="cannot start no-such-program: No such file or directory"):
        run(["no-such-program", "--flag"])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=f"no folder {tmp_path}/gone to run in: .*true"):
        run(["true"], cwd=tmp_path / "gone")


def test_a_file_in_a_folder_s_place_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(CommandError, match="no folder"):
        run(["true"], cwd=file)


def test_values_of_secret_looking_variables_are_not_shown() -> None:
    shown = pasteable(["docker", "push"], env={"REGISTRY_PASSWORD": "hunter2", "DOCKER_BUILDKIT": "1"})
    assert shown == "DOCKER_BUILDKIT=1 REGISTRY_PASSWORD=… docker push"


def test_standard_input_is_what_was_given_and_else_empty() -> None:
    big = b"x" * 1_000_000  # more than a pipe holds
    assert run(["wc", "-c"], stdin=big).output.strip() == "1000000"
    assert run(["cat"]).output == ""


def test_output_that_is_not_utf8_does_not_stop_the_reading() -> None:
    assert run(["printf", r"\377ok\n"]).output == "�ok"


def test_too_long_ends_the_program_and_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    started = time.monotonic()
    with pytest.raises(CommandError, match=r"no end after 0\.5 s"):
        run(sh(f"sleep 60 & echo $! > {pid}; wait"), timeout=0.5)
    assert time.monotonic() - started < 5
    assert gone(int(pid.read_text()))


def test_an_exception_in_the_callback_ends_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def refuse(_: str) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        run(sh(f"echo $$ > {pid}; echo a; exec sleep 60"), on_line=refuse)
    assert gone(int(pid.read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_the_whole_group_of_the_child(tmp_path: Path, number: signal.Signals) -> None:
    pid = tmp_path / "pid"
    program = textwrap.dedent(f"""
        from musllinux import run as runner
        from musllinux.run import interruptible, run
        runner.GRACE = 0.5
        with interruptible():
            run(["sh", "-c", "trap '' INT; sleep 60 & echo $! > {pid}; wait; sleep 60"])
    """)
    own = started(program)
    wait_for(pid)
    own.send_signal(number)
    _, said = own.communicate(timeout=30)
    assert own.returncode != 0
    assert b"KeyboardInterrupt" in said
    assert gone(int(pid.read_text()))


def test_an_interrupt_between_a_program_s_start_and_its_being_known_ends_it_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = textwrap.dedent(f"""
        import os, pathlib, signal, subprocess, time
        from musllinux.run import interruptible, run

        class Interrupted(subprocess.Popen):
            def __init__(self, *words, **options):
                super().__init__(*words, **options)
                pathlib.Path({str(pid)!r}).write_text(str(self.pid))
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)

        subprocess.Popen = Interrupted
        with interruptible():
            run(["sleep", "60"])
    """)
    own = started(program)
    _, said = own.communicate(timeout=30)
    assert b"KeyboardInterrupt" in said
    assert gone(int(pid.read_text()))


def test_in_the_background_where_interrupts_are_ignored_a_program_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = textwrap.dedent(f"""
        from musllinux.run import interruptible, run
        with interruptible():
            run(["sh", "-c", "echo $$ > {pid}; exec sleep 60"])
    """)
    own = started(program, on_interrupt=signal.SIG_IGN)
    wait_for(pid)
    asked = time.monotonic()
    own.send_signal(signal.SIGTERM)
    own.communicate(timeout=30)
    assert time.monotonic() - asked < GRACE / 2
    assert gone(int(pid.read_text()))


def started(program: str, on_interrupt: signal.Handlers = signal.SIG_DFL) -> subprocess.Popen[bytes]:
    """A Python program, as a shell starts one in the foreground (or with SIG_IGN in the background)."""
    heard = f"import signal; signal.signal(signal.SIGINT, signal.{on_interrupt.name})"
    launch = f"{heard}; import os, sys; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    argv = [sys.executable, "-c", launch, program]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, env=with_own_package())


def test_stopping_reaches_the_programs_of_worker_threads_and_lets_no_new_ones_start(tmp_path: Path) -> None:
    ended: list[int] = []
    pid = tmp_path / "pid"

    def work() -> None:
        ended.append(run(sh(f"echo $$ > {pid}; exec sleep 60"), check=False).code)

    worker = threading.Thread(target=work)
    worker.start()
    wait_for(pid)
    try:
        stop_all()
        worker.join(10)
        assert ended in ([-signal.SIGINT], [-signal.SIGTERM])  # the latter where the tests run in the background
        with pytest.raises(KeyboardInterrupt):
            run(["true"])
    finally:
        with interruptible():
            pass
    assert run(["true"]).code == 0


def test_what_waits_for_no_program_is_ended_too_and_only_inside_its_block() -> None:
    ended: list[str] = []
    try:
        with when_stopped(lambda: ended.append("outer")):
            with when_stopped(lambda: ended.append("over before")):
                pass
            stop_all()
    finally:
        with interruptible():
            pass
    assert ended == ["outer"]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1), min_size=1))
def test_what_is_shown_for_pasting_is_what_ran(words: list[str]) -> None:
    assert shlex.split(pasteable(words)) == words


def gone(pid: int) -> bool:
    """Whether the process ends within half a minute. A zombie has: no init may be there to reap an orphan."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if "\nState:\tZ" in status:
            return True
        time.sleep(0.02)
    return False


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, f"{path} was never written"
        time.sleep(0.02)


def with_own_package() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(runner.__file__).parents[1])}
