"""Files with secrets that containers mount: in memory where the system has a folder for it, for this user alone.

An engine mounts paths, so these have a name, unlike those of `secretfile`. A process that is killed cannot remove them;
the next one does: a folder whose lock nobody holds is nobody's any more, since the system frees a killed one's lock.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from musllinux.errors import FactoryError

MEMORY = Path("/dev/shm")  # noqa: S108 - folders of our own in it
PREFIX = "musllinux-mounts-"


@contextmanager
def held(contents: Mapping[str, bytes]) -> Iterator[Mapping[str, Path]]:
    """The contents as files for the length of the block: paths by name. Sweeps first.

    Raises FactoryError where they cannot be written.
    """
    sweep()
    place = _place()
    try:
        folder, lock = _owned(place)
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        yield _written(folder, contents)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep() -> None:
    """Remove what killed runs of this user have left."""
    for place in dict.fromkeys((MEMORY, Path(tempfile.gettempdir()))):
        for folder in place.glob(f"{PREFIX}*"):
            with suppress(OSError):  # gone meanwhile, a link, not ours
                _sweep(folder)


def _sweep(folder: Path) -> None:
    if folder.lstat().st_uid != os.geteuid():
        return
    lock = _locked(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _place() -> Path:
    return MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def _owned(place: Path) -> tuple[Path, int]:
    """A new folder and its lock. Another run's sweep may come between the two: then it is another folder."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        with suppress(FileNotFoundError):
            lock = _locked(folder)
            if lock is not None:
                return folder, lock


def _locked(folder: Path) -> int | None:
    """Hold the folder until the descriptor is closed; None where another does, or has just removed it."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = folder.exists()
    except BlockingIOError:
        there = False
    if there:
        return lock
    os.close(lock)
    return None


def _written(folder: Path, contents: Mapping[str, bytes]) -> Mapping[str, Path]:
    """Readable to all: the folder keeps others out here, and a container's users need not have this one's number."""
    paths = {name: folder / name for name in contents}
    try:
        for name, path in paths.items():
            path.write_bytes(contents[name])
            path.chmod(0o644)
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    return paths


def _unwritable(place: Path, error: OSError) -> FactoryError:
    return FactoryError(
        f"cannot write what containers mount to {place}: {error.strerror or error}", hint="make room there"
    )
