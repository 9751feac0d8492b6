"""What a check is given: the image, its running container, and ways to make others."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from musllinux.model import Image
from musllinux.smoke.containers import Container, Containers, Mount, Result

PROBES = Path(__file__).parent / "probes"
T = TypeVar("T")
HOME = "/smoke"  # in every container: probes/, wheels/ (sample projects), and whatever checks make


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What `docker image inspect` says of the image under test."""

    reference: str  # as it was asked for
    id: str
    platform: str  # exactly as cibuildwheel compares it
    labels: Mapping[str, str]
    env: Mapping[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    size: int  # bytes


class Shared:
    """Things that several checks need and that are made once, by whichever comes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._values: dict[str, Any] = {}

    def get(self, key: str, make: Callable[[], T]) -> T:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                self._values[key] = make()
            value: T = self._values[key]
            return value


@dataclass(frozen=True, kw_only=True)
class Context:
    image: Image
    facts: Inspected
    root: Path  # the repository: sample projects
    work: Path  # build/<id>/smoke on this machine: what the checks make, the repaired wheels
    containers: Containers
    main: Container  # shared by all checks: they write below HOME only, each in a folder of its own
    shared: Shared
    log: Callable[[str], None] = field(repr=False)

    def to(self, log: Callable[[str], None]) -> "Context":
        """The same for another check, with its own log."""
        return replace(self, log=log)

    @property
    def samples(self) -> Path:
        return self.root / "tests" / "wheels"

    def run(self, *argv: str, **options: Any) -> Result:
        """A command in the shared container. Options: Container.run."""
        return self.main.run(*argv, log=self.log, **options)

    def bash(self, script: str, *arguments: str, **options: Any) -> Result:
        """A script (`set -eu`, pipefail) in the shared container; `arguments` are its $1, $2, …"""
        return self.run("bash", "-euo", "pipefail", "-c", script, "bash", *arguments, **options)

    def python(self, tag: str, *argv: str, **options: Any) -> Result:
        """An interpreter of the image by its tag."""
        return self.run(f"/opt/python/{tag}/bin/python", *argv, **options)

    @contextmanager
    def fresh(
        self, *, mounts: Sequence[Mount] = (), network: str = "", image: str = "", entry: bool = True
    ) -> Iterator[Container]:
        """A container of one's own, of the image under test unless another is named."""
        container = self.containers.start(
            image or self.facts.id,
            self.image.arch.platform,
            entry=self.facts.entrypoint if entry and not image else (),
            mounts=mounts,
            network=network,
        )
        try:
            yield container
        finally:
            container.remove()
