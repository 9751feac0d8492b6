"""Work with dependencies, two at a time."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something to do after the jobs named in `after`."""

    run: Callable[[], object]
    after: Sequence[str] = ()


def run_all(jobs: Mapping[str, Job], workers: int) -> None:
    """Run every job, `workers` at once, each after those it names.

    After the first failure nothing new starts; what runs is waited for; then that failure is raised.
    """
    order = TopologicalSorter({name: job.after for name, job in jobs.items()})
    order.prepare()
    running: dict[Future[object], str] = {}
    with ThreadPoolExecutor(max_workers=workers) as pool:
        while order.is_active():
            for name in order.get_ready():
                running[pool.submit(jobs[name].run)] = name
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                if future.exception():
                    pool.shutdown(wait=False, cancel_futures=True)
                future.result()
                order.done(running.pop(future))
