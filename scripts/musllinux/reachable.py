"""Whether the sources answer: each asked once, all at the same time, with the user's proxies and certificates."""

import email.utils
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from musllinux import web
from musllinux.errors import FactoryError
from musllinux.registry import named
from musllinux.schema import Matrix

PATIENCE = (5, 10)  # seconds to connect, seconds without a byte
WRONG = 600  # seconds between this machine's clock and a server's: certificates and signatures are checked by it


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something that builds download from."""

    name: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What asking a source gave: `problem` is empty where it answered; `skew` is by how many seconds clocks differ."""

    source: Source
    seconds: float = 0.0
    problem: str = ""
    hint: str = ""
    skew: float = 0.0


def sources(matrix: Matrix, environ: Mapping[str, str] = os.environ) -> list[Source]:
    """Where upstream's inputs come from, as the matrix has it; the Python tools' index as pip's variable has it."""
    section = matrix.sources.upstream
    base = named(section.base)
    release = next(iter(matrix.policies.values())).alpine
    arch = next(iter(matrix.architectures.values())).apk
    index = environ.get("PIP_INDEX_URL") or environ.get("UV_DEFAULT_INDEX") or _pips_own_index()
    return [
        Source(name="packages", url=f"{section.mirror}/v{release}/main/{arch}/APKINDEX.tar.gz"),
        Source(name="CPython", url=f"{section.python}/"),
        Source(name="base images", url=f"https://{base.api}/v2/"),
        Source(name="Python tools", url=f"{index.rstrip('/')}/pip/"),
    ]


def _pips_own_index() -> str:
    from pip._internal.models.index import PyPI  # noqa: PLC0415 - pip's default has no public name

    return str(PyPI.simple_url)


def ask(wanted: Iterable[Source], ca: Path | None) -> list[Reached]:
    """Ask all of them, in their order."""
    wanted = list(wanted)
    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        return list(pool.map(lambda source: _ask(source, ca), wanted))


def _ask(source: Source, ca: Path | None) -> Reached:
    started = time.monotonic()
    try:
        status, date = web.head(source.url, ca, PATIENCE)
    except FactoryError as error:
        return Reached(source=source, problem=error.message, hint=error.hint)
    seconds = time.monotonic() - started
    # 401: a registry, or a mirror whose password is in a credential helper; it is there, which is the question
    problem = "" if status < web.SERVER_FAILS and status != web.NOT_FOUND else f"the server answers {status}"
    return Reached(source=source, seconds=seconds, problem=problem, skew=_skew(date))


def _skew(date: str) -> float:
    """How far this machine's clock is ahead of the server's, in seconds; 0 where the server does not say."""
    try:
        there = email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return 0.0
    return time.time() - there
