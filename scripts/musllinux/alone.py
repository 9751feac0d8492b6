"""One run at a time works on an image; the system frees the lock of one that was killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from musllinux.errors import FactoryError

LOCK = ".lock"


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Hold an image's folder (build/<id>) against every other run. Raises FactoryError where one has it already."""
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FactoryError(
            f"{place.name}: another run is building or trying it", hint=f"wait for it; its logs are in {place}"
        ) from None
    try:
        yield
    finally:
        lock.release()
