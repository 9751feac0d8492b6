"""Upstream's package indexes, so that a build sees when the packages that it would ask apk for have changed.

Nothing is installed from what is read here: apk reads the indexes itself and checks their signatures.
"""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from musllinux import web
from musllinux.apkindex import Package, parse
from musllinux.errors import FactoryError
from musllinux.model import Selection, Supply, select
from musllinux.record import write_bytes
from musllinux.schema import Matrix

PARTS = ("main", "community")
_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How indexes are had: `cache` keeps the last of each, for when the mirror does not answer."""

    cache: Path
    ca: Path | None
    report: Callable[[str], None]


def known(supply: Supply, matrix: Matrix, selection: Selection, platform: str, reader: Reader) -> Supply:
    """The supply with what its mirror serves for the selected images and for a builder of this platform.

    An index that cannot be had is said, and the last one taken; where there is none, changes are not seen.
    """
    native = next((a.apk for a in matrix.architectures.values() if a.platform == platform), "")
    pairs = {
        (matrix.policies[policy].alpine, apk)
        for policy, arch in select(matrix, selection)
        for apk in (matrix.architectures[arch].apk, native)
        if apk
    }
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        found = pool.map(lambda pair: (pair, tuple(_packages(supply.mirror, pair, reader))), sorted(pairs))
        return replace(supply, machine=native, packages=dict(found))


def _packages(mirror: str, pair: tuple[str, str], reader: Reader) -> Iterable[Package]:
    release, arch = pair
    for part in PARTS:
        yield from _index(f"{mirror}/v{release}/{part}/{arch}/APKINDEX.tar.gz", reader)


def _index(url: str, reader: Reader) -> list[Package]:
    kept = reader.cache / "indexes" / hashlib.sha256(url.encode()).hexdigest()
    try:
        body = web.page(url, reader.ca)
        if body is None:
            return []  # a release may have no community packages on an architecture
        packages = parse(body)
        write_bytes(kept, body)
    except FactoryError as error:
        if not kept.is_file():
            reader.report(f"{error.message}; changes of its packages are not seen")
            return []
        reader.report(f"{error.message}; going by what it had the last time")
        return parse(kept.read_bytes())
    return packages
