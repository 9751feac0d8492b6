"""Work with dependencies."""

import threading
from graphlib import CycleError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from standin.jobs import Job, run_all


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 10), st.integers(0, 10)).filter(lambda pair: pair[0] > pair[1])))
def test_every_job_runs_once_and_after_those_it_names(pairs: set[tuple[int, int]]) -> None:
    done: list[str] = []
    names = {str(number) for pair in pairs for number in pair}
    jobs = {
        name: Job(run=lambda name=name: done.append(name), after=[str(b) for a, b in pairs if str(a) == name])  # type: ignore[misc]
        for name in names
    }
    run_all(jobs, 2)
    assert sorted(done) == sorted(names)
    assert all(done.index(str(low)) < done.index(str(high)) for high, low in pairs)


def test_independent_jobs_run_at_once() -> None:
    barrier = threading.Barrier(2, timeout=10)
    run_all({"a": Job(run=barrier.wait), "b": Job(run=barrier.wait)}, 2)


def test_after_a_failure_what_depends_on_it_does_not_run() -> None:
    ran: list[str] = []

    def fail() -> None:
        raise ValueError("broken")

    jobs = {"a": Job(run=fail), "b": Job(run=lambda: ran.append("b"), after=["a"])}
    with pytest.raises(ValueError, match="broken"):
        run_all(jobs, 2)
    assert ran == []


def test_what_runs_already_when_another_fails_is_waited_for() -> None:
    started, failed = threading.Event(), threading.Event()
    ended: list[str] = []

    def fail() -> None:
        assert started.wait(10)
        failed.set()
        raise ValueError("broken")

    def slow() -> None:
        started.set()
        assert failed.wait(10)
        ended.append("slow")

    with pytest.raises(ValueError, match="broken"):
        run_all({"fail": Job(run=fail), "slow": Job(run=slow)}, 2)
    assert ended == ["slow"]


def test_a_circle_is_an_error() -> None:
    with pytest.raises(CycleError):
        run_all({"a": Job(run=lambda: None, after=["b"]), "b": Job(run=lambda: None, after=["a"])}, 2)
