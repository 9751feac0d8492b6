"""Downloads, every byte checked against its locked sum before anything uses it, kept in a content-addressed cache.

A file stands in the cache under its SHA-256 or not at all: it is written under another name, checked, then renamed.
"""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from musllinux.errors import FactoryError
from musllinux.model import Archive, Image, Interpreter, Supply
from musllinux.run import run
from musllinux.toollock import Wheel, platforms

Report = Callable[[str], None]
CHUNK = 1 << 20
TIMEOUT = (15, 60)  # seconds to connect, seconds without a byte


def cached(cache: Path, sha256: str, name: str) -> Path:
    """Where a file with this sum stands in the cache, whether it is there or not."""
    return cache / "files" / sha256[:2] / sha256 / name


def cpython_archive(cache: Path, supply: Supply, archive: Archive, report: Report, ca: Path | None) -> Path:
    """The source archive, downloaded once.

    Raises FactoryError when the source cannot be reached or the sum is wrong (both sums named, the file removed).
    """
    place = cached(cache, archive.sha256, archive.file)
    if not place.exists():
        url = f"{supply.python}/{archive.version}/{archive.file}"
        report(f"downloading {archive.file}")
        with _incoming(place) as part:
            _download(url, part, ca)
            _check(part, archive.sha256, url)
    return place


def wheels(cache: Path, image: Image, interpreter: Interpreter, wanted: Iterable[Wheel], report: Report) -> list[Path]:
    """Locked wheels, fetched by the user's own pip configuration (index, proxies, certificates) where not cached."""
    wanted = list(wanted)
    missing = [w for w in wanted if not cached(cache, w.sha256, w.file).exists()]
    if missing:
        report(f"downloading {', '.join(sorted({w.project for w in missing}))}")
        _pip_download(cache, image, interpreter, missing)
    return [cached(cache, w.sha256, w.file) for w in wanted]


def _pip_download(cache: Path, image: Image, interpreter: Interpreter, missing: list[Wheel]) -> None:
    abi = interpreter.tag.split("-")[1]
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=cache) as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("".join(f"{w.project}=={w.version} --hash=sha256:{w.sha256}\n" for w in missing))
        how = ["--quiet", "--no-deps", "--require-hashes", "--no-input", "--only-binary=:all:", "--implementation=cp"]
        target = [f"--python-version={interpreter.series}", f"--abi={abi}", "--abi=none", "--abi=abi3"]
        target += [f"--platform={p}" for p in platforms(image)]
        where = [f"--dest={folder}", f"--requirement={requirements}"]
        run([sys.executable, "-m", "pip", "download", *how, *target, *where])
        for wheel in missing:
            place = cached(cache, wheel.sha256, wheel.file)
            with _incoming(place) as part:
                shutil.copyfile(Path(folder, wheel.file), part)
                _check(part, wheel.sha256, wheel.file)


@contextlib.contextmanager
def _incoming(place: Path) -> Iterator[Path]:
    """A name to write under; the file gets its own name only when the block ends well."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".incoming-", dir=place.parent)
    except OSError as error:
        raise FactoryError(
            f"cannot write to the cache {place.parent}: {error.strerror}",
            hint="set MUSLLINUX_CACHE to a folder with room",
        ) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _download(url: str, part: Path, ca: Path | None) -> None:
    import requests  # noqa: PLC0415 - slow to import, needed only here

    try:
        with requests.get(url, stream=True, timeout=TIMEOUT, verify=str(ca) if ca else True) as answer:
            answer.raise_for_status()
            with part.open("wb") as out:
                for chunk in answer.iter_content(CHUNK):
                    out.write(chunk)
    except requests.HTTPError as error:
        status = error.response.status_code
        raise FactoryError(
            f"{_public(url)}: the server answered {status}", hint="is this version still there?"
        ) from error
    except requests.RequestException as error:
        raise FactoryError(
            f"{_public(url)}: not reachable ({type(error).__name__})",
            hint="check the network, proxy and mirror, or try SOURCES=standin",
        ) from error
    except OSError as error:
        raise FactoryError(f"{part.parent}: {error.strerror}", hint="make room, or set MUSLLINUX_CACHE") from error


def _public(url: str) -> str:
    """The URL without a user's credentials."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _check(path: Path, sha256: str, origin: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise FactoryError(
            f"{_public(origin)}: wrong checksum: locked {sha256}, got {found}; the file was removed",
            hint="it was changed on the way or at its source: compare with its publisher before you renew the lock",
        )
