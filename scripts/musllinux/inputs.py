"""Downloads, every byte checked against its locked sum before anything uses it, kept in a content-addressed cache.

A file stands in the cache under its SHA-256 or not at all: it is written under another name, checked, then renamed.
What a disk or a power cut spoilt afterwards is found when it is used, and fetched again.
"""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from musllinux import web
from musllinux.errors import FactoryError
from musllinux.model import Archive, Image, Interpreter, Supply
from musllinux.redact import redact
from musllinux.run import CommandError, run
from musllinux.toollock import Wheel, platforms

ABANDONED = 24 * 3600  # seconds
_SCRATCH = ("wheels-", "project-", "lock-")  # folders of `scratch`
Report = Callable[[str], None]


def cached(cache: Path, sha256: str, name: str) -> Path:
    """Where a file with this sum stands in the cache, whether it is there or not."""
    return cache / "files" / sha256[:2] / sha256 / name


def cpython_archive(cache: Path, supply: Supply, archive: Archive, report: Report, ca: Path | None) -> Path:
    """The source archive, downloaded once.

    Raises FactoryError when the source cannot be reached or the sum is wrong (both sums named, the file removed).
    """
    place = cached(cache, archive.sha256, archive.file)
    if not _stands(place, archive.sha256):
        url = f"{supply.python}/{archive.folder}/{archive.file}"
        report(f"downloading {archive.file}")
        with _incoming(place) as part:
            _download(url, part, ca)
            _check(part, archive.sha256, url)
    return place


def unknown_archive(cache: Path, url: str, report: Report, ca: Path | None) -> str:
    """Download a file whose sum is not known yet into the cache; its SHA-256 in hex. For `lock` alone.

    Raises FactoryError when it cannot be had.
    """
    name = url.rpartition("/")[2]
    report(f"downloading {name}")
    with scratch(cache, "lock-") as folder:
        _download(url, folder / name, ca)
        sha256 = _sum(folder / name)
        with _incoming(cached(cache, sha256, name)) as part:
            (folder / name).replace(part)
    return sha256


def keep(cache: Path, sha256: str, name: str, origin: str, download: Callable[[], bytes]) -> Path:
    """A file of the cache by its sum; what `download` brings where it is not there, checked. `origin` is for messages.

    Raises FactoryError when the sum is wrong (both sums named, the file removed) or the cache cannot be written.
    """
    place = cached(cache, sha256, name)
    if not _stands(place, sha256):
        content = download()
        with _incoming(place) as part:
            _write(part, content)
            _check(part, sha256, origin)
    return place


def _write(part: Path, content: bytes) -> None:
    try:
        part.write_bytes(content)
    except OSError as error:
        raise _unwritable(part.parent, error) from error


def wheels(cache: Path, image: Image, interpreter: Interpreter, wanted: Iterable[Wheel], report: Report) -> list[Path]:
    """Locked wheels, fetched by the user's own pip configuration (index, proxies, certificates) where not cached.

    Raises FactoryError when pip does not bring them, or brings something else.
    """
    wanted = list(wanted)
    missing = [w for w in wanted if not _stands(cached(cache, w.sha256, w.file), w.sha256)]
    if missing:
        report(f"downloading {', '.join(sorted({w.project for w in missing}))}")
        _pip_download(cache, image, interpreter, missing)
    return [cached(cache, w.sha256, w.file) for w in wanted]


def _pip_download(cache: Path, image: Image, interpreter: Interpreter, missing: list[Wheel]) -> None:
    abi = interpreter.tag.split("-")[1]
    with scratch(cache, "wheels-") as folder:
        requirements = folder / "requirements.txt"
        requirements.write_text("".join(f"{w.project}=={w.version} --hash=sha256:{w.sha256}\n" for w in missing))
        how = ["--quiet", "--no-deps", "--require-hashes", "--no-input", "--only-binary=:all:", "--implementation=cp"]
        target = [f"--python-version={interpreter.series}", f"--abi={abi}", "--abi=none", "--abi=abi3"]
        target += [f"--platform={p}" for p in platforms(image)]
        where = [f"--dest={folder}", f"--requirement={requirements}"]
        try:
            run([sys.executable, "-m", "pip", "download", *how, *target, *where])
        except CommandError as error:
            raise _not_brought(image, missing, error) from error
        for wheel in missing:
            with _incoming(cached(cache, wheel.sha256, wheel.file)) as part:
                shutil.copyfile(folder / wheel.file, part)
                _check(part, wheel.sha256, wheel.file)


def _not_brought(image: Image, missing: Iterable[Wheel], error: CommandError) -> FactoryError:
    names = ", ".join(f"{w.project} {w.version}" for w in missing)
    said = "".join(f"\n    {line}" for line in error.tail)
    return FactoryError(
        redact(f"pip does not bring {names} for {image.id}:{said}"),
        hint="pip takes index, proxy and certificates from its own configuration: `pip config list` shows it",
    )


def sweep(cache: Path) -> None:
    """Remove what killed runs have left half done. It is never used; a day old it is nobody's work any more."""
    started = time.time() - ABANDONED
    for pattern in ("files/*/*/.incoming-*", *(f"{prefix}*" for prefix in _SCRATCH)):
        for path in cache.glob(pattern):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < started:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextlib.contextmanager
def scratch(cache: Path, prefix: str) -> Iterator[Path]:
    """A folder in the cache for the length of the block. Raises FactoryError where none can be made."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
    except OSError as error:
        raise _unwritable(cache, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _incoming(place: Path) -> Iterator[Path]:
    """A name to write under; the file gets its own name only when the block ends well."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".incoming-", dir=place.parent)
    except OSError as error:
        raise _unwritable(place.parent, error) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _unwritable(place: Path, error: OSError) -> FactoryError:
    return FactoryError(
        f"cannot write to the cache {place}: {error.strerror or error}",
        hint="make room, or set MUSLLINUX_CACHE to another folder",
    )


def _download(url: str, part: Path, ca: Path | None) -> None:
    try:
        web.save(url, part, ca)
    except OSError as error:
        raise _unwritable(part.parent, error) from error


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stands(place: Path, sha256: str) -> bool:
    """Whether the cache has the file, whole."""
    try:
        return _sum(place) == sha256
    except OSError:
        return False


def _check(path: Path, sha256: str, origin: str) -> None:
    found = _sum(path)
    if found != sha256:
        raise FactoryError(
            f"{redact(origin)}: wrong checksum: locked {sha256}, got {found}; the file was removed",
            hint="it was changed on the way or at its source: compare with its publisher before you renew the lock",
        )
