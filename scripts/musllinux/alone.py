"""Who works on what: one run at a time on an image, any number with the cache, none while the cache is emptied.

The system frees the locks of a run that was killed.
"""

import fcntl
import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from musllinux.errors import FactoryError
from musllinux.redact import redact

LOCK = ".lock"
_SHOWN = 60  # characters of another run's command line
_LOCKS = Path("/proc/locks")


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


@contextmanager
def sharing(cache: Path) -> Iterator[None]:
    """Inside, what is in the cache folder stays: `clean --cache` leaves it. Any number of runs share it.

    Waits for a run that is emptying it just now, and says so. A folder that cannot be made or opened is not held: there
    is nothing to lose in it, and whoever needs it says what is wrong.
    """
    descriptor = _opened(cache)
    try:
        if descriptor is not None and not _locked(descriptor, fcntl.LOCK_SH):
            print("musllinux: another run is emptying the cache: waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def emptying(cache: Path) -> Iterator[str]:
    """Hold the cache folder against every run that shares it; what is given is empty, or says who uses it."""
    descriptor = _opened(cache)
    try:
        free = descriptor is None or _locked(descriptor, fcntl.LOCK_EX)
        yield "" if free else f"in use by {_users(cache)}"
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(folder: Path) -> int | None:
    """The folder itself carries the lock (flock(2)): a cache that cannot be written has one, too."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # closed in programs that are started meanwhile
    except OSError:
        return None


def _locked(descriptor: int, how: int) -> bool:
    """Whether nobody is in the way. File systems without such locks have nobody who could be."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _users(folder: Path) -> str:
    """The processes that hold a folder's lock, as the kernel tells (proc(5), /proc/locks)."""
    inode = folder.stat().st_ino
    with suppress(OSError):
        rows = (line.split() for line in _LOCKS.read_text().splitlines())
        # 9: FLOCK ADVISORY READ 22552 fe:00:9995075 0 EOF; who waits has an arrow after the number
        ids = [row[4] for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode)]
        found = [_process(number) for number in ids if _has_open(number, folder)]
        if found:
            return ", ".join(found)
    return "another run"


def _has_open(number: str, folder: Path) -> bool:
    """Whether a process really has that folder open: inodes are unique on one file system only."""
    try:
        return any(link.samefile(folder) for link in Path(f"/proc/{number}/fd").iterdir() if link.exists())
    except OSError:
        return False


def _process(number: str) -> str:
    """`process 4711 (musllinux build --smoke)`."""
    words = Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace").split("\0")
    named = [position for position, word in enumerate(words) if Path(word).name == "musllinux"]
    command = " ".join(["musllinux", *words[named[0] + 1 :]] if named else words).strip()
    return f"process {number} ({redact(textwrap.shorten(command, _SHOWN, placeholder=' …'))})"
