"""Several images at once: how many this machine can take, and what one failure does to the others (nothing)."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from musllinux.model import Image
from musllinux.run import stop_all

# One image's build is parallel in itself (its interpreters compile at the same time, each with a job a processor):
# a second one at once pays off where there are processors and memory left.
PROCESSORS = 4
MEMORY = 6 << 30  # bytes: four interpreters linking at once, and BuildKit

R = TypeVar("R")


def count(asked: int | None, images: int) -> int:
    """How many images at once: as many as asked for, else as processors and memory allow; never more than images."""
    allowed = asked or min((os.cpu_count() or 1) // PROCESSORS, available_memory() // MEMORY)
    return max(1, min(allowed, images))


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that programs can have without swapping."""
    lines = (line.split() for line in meminfo.read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")


def each(images: Sequence[Image], work: Callable[[Image], R], jobs: int) -> list[R]:
    """`work` for every image, `jobs` at a time, results in the order of the images.

    `work` turns a failure into a result: what it raises is a bug or an interrupt, and ends everything.
    """
    if jobs == 1:
        return [work(image) for image in images]  # in the main thread, which Ctrl-C reaches
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, image) for image in images]
        try:
            wait(futures)
        except BaseException:
            stop_all()  # before the pool is waited for: its threads wait for their programs
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]
