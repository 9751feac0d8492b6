import platform
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from musllinux.errors import FactoryError
from musllinux.model import Image
from musllinux.run import interruptible, run
from musllinux.smoke import runner
from musllinux.smoke.context import Context
from musllinux.smoke.record import CheckResult
from musllinux.smoke.registry import Check, Failed, LeftOut, require, same
from musllinux.smoke.suite import checks


class Quiet:
    def __init__(self) -> None:
        self.order: list[str] = []

    def started(self, check: Check) -> None:
        self.order.append(f"+{check.name}")

    def ended(self, check: Check, result: CheckResult) -> None:
        self.order.append(f"-{check.name} {result.status}")


def made(body: Callable[..., str], name: str = "", **options: Any) -> Check:
    values: dict[str, Any] = {"group": "g", "subject": "", "arguments": (), "after": frozenset(), "weight": 1}
    return Check(name=name or body.__name__, body=body, **{**values, **options})


@pytest.fixture
def context() -> Context:
    """Checks that look at nothing of it get by with this."""
    closed: list[bool] = []
    fake = SimpleNamespace(closed=closed, containers=SimpleNamespace(close=lambda: closed.append(True)))
    fake.to = lambda log: SimpleNamespace(log=log)
    fake.image = SimpleNamespace(arch=SimpleNamespace(qemu_lacks=frozenset(), runs_on=()))
    return cast(Context, fake)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[runner.Log]:
    log = runner.Log(tmp_path / "smoke.log")
    yield log
    log.close()


def fine(_: Context) -> str:
    return "seen"


def bad(_: Context) -> str:
    raise Failed("one\ntwo")


def broken(_: Context) -> str:
    raise ZeroDivisionError


def impossible(_: Context) -> str:
    raise LeftOut("no such thing here")


def unreachable(_: Context) -> str:
    raise FactoryError("no engine", hint="start it")


def test_a_failing_check_hides_no_other(context: Context, log: runner.Log) -> None:
    results = runner.run_all([made(b) for b in (bad, fine, broken, impossible, unreachable)], context, log, Quiet())
    assert [r.status for r in results] == ["failed", "ok", "failed", "left-out", "failed"]
    assert (results[0].detail, results[1].detail, results[4].detail) == ("one\ntwo", "seen", "no engine")
    assert "ZeroDivisionError" in results[2].detail
    assert (results[3].detail, results[3].reason) == ("", "no such thing here")


@pytest.mark.parametrize(
    ("lacks", "native", "problem", "times"),
    [
        ({"steady threads"}, (), "exit code 139: python -m x", 2),
        ({"steady threads"}, (), "exit code 1: python -m x", 1),
        ({"steady threads"}, (platform.machine(),), "exit code 139: python -m x", 1),
        ({"nanoseconds of stat"}, (), "exit code 139: python -m x", 1),
    ],
)
def test_only_a_crash_that_the_emulator_is_known_for_is_tried_again_and_once(
    lacks: set[str], native: tuple[str, ...], problem: str, times: int, context: Context, log: runner.Log
) -> None:
    asked = []

    def crashes(_: Context) -> str:
        asked.append(1)
        raise Failed(problem)

    cast(Any, context).image = SimpleNamespace(arch=SimpleNamespace(qemu_lacks=lacks, runs_on=native))
    (result,) = runner.run_all([made(crashes)], context, log, Quiet())
    assert (result.status, len(asked)) == ("failed", times)


def test_what_went_well_the_second_time_says_so(context: Context, log: runner.Log) -> None:
    asked = []

    def crashes_once(_: Context) -> str:
        asked.append(1)
        require(len(asked) > 1, "exit code 139: python -m x")
        return "seen"

    cast(Any, context).image = SimpleNamespace(arch=SimpleNamespace(qemu_lacks={"steady threads"}, runs_on=()))
    (result,) = runner.run_all([made(crashes_once)], context, log, Quiet())
    assert (result.status, result.detail) == ("ok", "seen (the second time: first exit code 139)")
    assert "exit code 139" in log.path.read_text()


def test_the_log_has_every_check_whole_and_a_broken_ones_traceback(context: Context, log: runner.Log) -> None:
    def talkative(context: Context) -> str:
        context.log("+ a command")
        return "fine"

    runner.run_all([made(talkative), made(broken)], context, log, Quiet())
    text = log.path.read_text()
    assert "=== g / talkative: ok" in text
    assert "+ a command\nfine\n" in text
    assert "Traceback" in text


def test_a_check_waits_for_the_groups_it_comes_after(context: Context, log: runner.Log) -> None:
    def slow(_: Context) -> str:
        time.sleep(0.2)
        return ""

    progress = Quiet()
    late = made(fine, "late", group="second", after=frozenset({"first"}), weight=99)
    first = [made(slow, f"first {n}", group="first") for n in range(3)]
    results = runner.run_all([late, *first], context, log, progress, workers=4)
    assert progress.order.index("+late") > max(progress.order.index(f"-first {n} ok") for n in range(3))
    assert [r.name for r in results] == ["late", "first 0", "first 1", "first 2"]


def test_the_longest_checks_start_first(context: Context, log: runner.Log) -> None:
    progress = Quiet()
    runner.run_all([made(fine, "short"), made(fine, "long", weight=9)], context, log, progress, workers=1)
    assert progress.order[0] == "+long"


def test_checks_run_at_the_same_time(context: Context, log: runner.Log) -> None:
    together = threading.Barrier(2, timeout=10)

    def meet(_: Context) -> str:
        together.wait()
        return ""

    results = runner.run_all([made(meet), made(meet)], context, log, Quiet(), workers=2)
    assert [r.status for r in results] == ["ok", "ok"]


@pytest.fixture
def programs_start_again() -> Iterator[None]:
    """After an interrupt no program starts, until work that can be interrupted begins anew."""
    yield
    with interruptible():
        pass


@pytest.mark.usefixtures("programs_start_again")
def test_an_interrupt_ends_programs_that_checks_wait_for(context: Context, log: runner.Log) -> None:
    waiting, ended = threading.Event(), []

    def waits(_: Context) -> str:
        try:
            run(["sh", "-c", "echo waiting; sleep 8"], on_line=lambda _: waiting.set())
        except FactoryError:
            ended.append("stopped")
            raise
        ended.append("slept")
        return ""

    def interrupted(_: Context) -> str:
        waiting.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run_all([made(waits), made(interrupted)], context, log, Quiet(), workers=2)
    assert ended == ["stopped"]


@pytest.mark.usefixtures("programs_start_again")
def test_an_interrupt_removes_the_containers_and_starts_nothing_more(context: Context, log: runner.Log) -> None:
    ran = []

    def interrupted(_: Context) -> str:
        raise KeyboardInterrupt

    def later(_: Context) -> str:
        ran.append(1)
        return ""

    with pytest.raises(KeyboardInterrupt):
        runner.run_all([made(interrupted, weight=2), made(later)], context, log, Quiet(), workers=1)
    assert cast(Any, context).closed


def test_every_image_has_checks_with_distinct_names_whose_groups_exist(images: list[Image]) -> None:
    for image in images:
        found = checks(image)
        names = [(one.group, one.name, one.subject) for one in found]
        assert len(set(names)) == len(names)
        assert {group for one in found for group in one.after} <= {one.group for one in found}
        assert all(one.group not in one.after for one in found)


def test_each_interpreter_is_checked_alike(image: Image) -> None:
    counts = {one.tag: sum(c.subject == one.tag for c in checks(image)) for one in image.interpreters}
    assert len(set(counts.values())) == 1
    assert min(counts.values()) > 8


def test_requirements_say_what_is_wrong() -> None:
    with pytest.raises(Failed, match=r"^no tar$"):
        require([], "no tar")
    with pytest.raises(Failed, match="the tag is 'a', not 'b'"):
        same("the tag", "a", "b")
    same("the tag", "a", "a")
