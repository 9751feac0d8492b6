"""`musllinux clean`: remove what runs have left in build/, and with --cache what they have downloaded and made.

Images stay in the engine, and so does everything that another run uses.
"""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from musllinux import model, settings
from musllinux.alone import LOCK, emptying
from musllinux.errors import EXIT_FAILED, EXIT_OK
from musllinux.settings import Settings

# What is in the cache folder, by who puts it there. MUSLLINUX_CACHE may name a folder that has other things too.
DOWNLOADS = ("files", "indexes", "projects")
STANDIN = "standin"


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A folder that is gone, or stays: `why` says the reason."""

    path: Path
    bytes: int
    why: str = ""


def command(args: Namespace) -> int:
    """`musllinux clean`: exit code 1 where something is in use and stays."""
    run = settings.from_args(args)
    found = list(clean(run, cache=args.cache))
    if args.json:
        rows = [{"path": str(r.path), "bytes": r.bytes, "why": r.why} for r in found]
        print(json.dumps({"format": 1, "removed": rows}, indent=1))
    else:
        print("\n".join(_lines(found)))
    return EXIT_FAILED if any(r.why for r in found) else EXIT_OK


def clean(run: Settings, *, cache: bool) -> Iterator[Removed]:
    """Remove the records and contexts of the selected images (all by default), and the cache where asked."""
    for image in _ids(run):
        place = run.work / image
        if place.is_dir():
            yield _unless_locked(place)
    if cache:
        yield from _cache(run)


def _ids(run: Settings) -> list[str]:
    """The selected images; without a selection also folders of images that the matrix has no more."""
    matrix = run.matrix()
    if run.selection != model.Selection():
        return [f"{policy}_{arch}" for policy, arch in model.select(matrix, run.selection)]
    there = [path.name for path in run.work.iterdir() if path.is_dir()] if run.work.is_dir() else []
    return sorted({*model.image_ids(matrix), *there})


def _unless_locked(place: Path) -> Removed:
    try:
        with FileLock(place / LOCK, timeout=0):
            return _remove(place)
    except Timeout:
        return Removed(path=place, bytes=0, why="in use by another run")


def _cache(run: Settings) -> Iterator[Removed]:
    """What is ours in the cache folder, unless a run holds it; then the stand-in goes on serving, too."""
    there = [place for name in (*DOWNLOADS, STANDIN) if (place := run.cache / name).is_dir()]
    if not there:
        return
    with emptying(run.cache) as why:
        for place in there:
            if why:
                yield Removed(path=place, bytes=0, why=why)
            else:
                yield _standin(run) if place.name == STANDIN else _remove(place)


def _standin(run: Settings) -> Removed:
    """The stand-in's products. It is stopped first: it serves them."""
    from standin import control  # noqa: PLC0415

    root = run.cache / STANDIN
    control.down(root, lambda _: None)
    return _remove(root)


def _remove(place: Path) -> Removed:
    """A folder with everything in it, also what is read-only (finished products are)."""
    size = sum(path.lstat().st_size for path in place.rglob("*") if path.is_file() and not path.is_symlink())

    def permit(function: Callable[[str], object], path: str, _: object) -> None:
        Path(path).parent.chmod(0o700)
        if not Path(path).is_symlink():
            Path(path).chmod(0o700)
        function(path)

    shutil.rmtree(place, onerror=permit)
    return Removed(path=place, bytes=size)


def _lines(found: Iterable[Removed]) -> Iterator[str]:
    gone = 0
    for one in found:
        gone += one.bytes
        yield f"stays: {one.path}: {one.why}" if one.why else f"removed {one.path} ({one.bytes / 1e6:.0f} MB)"
    yield f"{gone / 1e6:.0f} MB freed; images stay in the engine (docker image ls 'musllinux_*')"
