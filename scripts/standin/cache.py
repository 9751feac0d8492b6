"""A content-addressed folder of finished products, safe against two runs at once and against kill -9.

A product is a folder `products/<key>`. It is filled under a temporary name while its lock is held, and
only renamed to its final name when it is complete: whatever exists under `products/` is whole. The operating
system releases a dead process's lock, so a temporary folder whose lock is free belongs to nobody: swept.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from standin.errors import StandinError

ENVIRONMENT = "MUSLLINUX_CACHE"


def default_root() -> Path:
    """`$MUSLLINUX_CACHE`, else the user's cache folder of this system; absolute."""
    given = os.environ.get(ENVIRONMENT)
    base = Path(given) if given else user_cache_path("musllinux", appauthor=False)
    return (base / "standin").absolute()


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace `path` in one step: a reader sees the old bytes or the new ones, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class Cache:
    """The folder with everything the stand-in has made or downloaded."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._products = root / "products"
        self._locks = root / "locks"
        self._tmp = root / "tmp"
        try:
            for folder in (self._products, self._locks, self._tmp):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StandinError(
                f"the cache folder {root} cannot be made: {error.strerror}",
                hint=f"point {ENVIRONMENT} at a writable folder",
            ) from error

    def find(self, key: str) -> Path | None:
        """The finished product of that key, if there is one."""
        path = self._products / key
        return path if path.is_dir() else None

    def product(self, key: str, build: Callable[[Path], None]) -> Path:
        """The product of that key; `build` fills an empty folder if it does not exist yet.

        When several processes ask at once, one builds and the others wait. What `build` raises passes
        through, and nothing of its folder remains.
        """
        final = self._products / key
        if final.is_dir():
            return final
        with self.lock(key):
            if not final.is_dir():
                self._build(key, build, final)
        return final

    def _build(self, key: str, build: Callable[[Path], None], final: Path) -> None:
        folder = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=self._tmp))
        try:
            folder.chmod(0o755)
            build(folder)
            folder.replace(final)
        finally:
            remove_tree(folder)

    def discard(self, key: str) -> None:
        """Forget a product; the rename comes first, so that no half of it can ever be found."""
        with self.lock(key):
            folder = self.find(key)
            if folder:
                doomed = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=self._tmp))
                folder.replace(doomed)
                remove_tree(doomed)

    @contextmanager
    def lock(self, name: str, *, timeout: float = -1) -> Iterator[None]:
        """Hold the lock `name` against every other thread and process. Raises filelock.Timeout."""
        with FileLock(self._locks / f"{name}.lock", timeout=timeout, thread_local=False):
            yield

    def sweep(self) -> int:
        """Remove what killed runs left behind; the number of folders removed."""
        swept = 0
        for folder in sorted(self._tmp.iterdir()):
            key = folder.name.rpartition(".")[0]
            with suppress(Timeout), self.lock(key, timeout=0):
                remove_tree(folder)
                swept += 1
        return swept

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """An empty folder that is gone afterwards, even if this process is killed (the next sweep takes it).

        Only one holder per `name` at a time: the lock tells a living owner from a dead one.
        """
        with self.lock(name):
            folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=self._tmp))
            try:
                yield folder
            finally:
                remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder even if it holds folders without write permission (as unpacked packages do)."""
    if not folder.exists():
        return
    for path, names, _ in os.walk(folder):
        for name in names:
            child = Path(path) / name
            mode = child.lstat().st_mode
            if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
                child.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)
