"""What a builder takes from outside, served from the cache and written down in a trace."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from standin import pypi
from standin.apt import Apt
from standin.cache import Cache
from standin.errors import StandinError


class CachedInputs:
    """One build's inputs (see catalogue.Inputs). `trace` lists every input with the sum it had."""

    def __init__(
        self,
        *,
        cache: Cache,
        apt: Apt,
        report: Callable[[str], None],
        trees: Mapping[str, Path],
        work: Path,
        log: Path,
    ) -> None:
        self._cache = cache
        self._apt = apt
        self._report = report
        self._trees = trees
        self._work = work
        self._log = log
        self.trace: list[dict[str, Any]] = []

    @property
    def work(self) -> Path:
        """An empty scratch folder of this build; thrown away afterwards."""
        return self._work

    @property
    def log(self) -> Path:
        """The build's log file."""
        return self._log

    def deb(self, suite: str, arch: str, package: str) -> Path:
        """The unpacked tree of one binary package."""
        return self.debs(suite, arch, [package])[0]

    def debs(self, suite: str, arch: str, packages: Sequence[str]) -> list[Path]:
        """The unpacked trees of several binary packages, in the order asked for."""
        answers = self._apt.debs(suite, arch, packages)
        for record, _ in answers:
            self._note("deb", [suite, arch, record.package], record.version, record.identity)
        return [path for _, path in answers]

    def source(self, suite: str, package: str) -> list[Path]:
        """Upstream's tarballs in a source package."""
        record, paths = self._apt.source(suite, package)
        self._note("source", [suite, package], record.version, record.identity)
        return paths

    def wheel(
        self,
        requirement: str,
        sha256: str | None = None,
        platform: str | None = None,
        python: str | None = None,
    ) -> Path:
        """The unpacked tree of one wheel."""
        path = pypi.wheel(self._cache, self._report, requirement, sha256=sha256, platform=platform, python=python)
        self._note("wheel", [requirement], requirement.partition("==")[2], str(sha256))
        return path

    def tree(self, recipe: str) -> Path:
        """The tree of a recipe named in `needs`."""
        try:
            return self._trees[recipe]
        except KeyError:
            raise StandinError(
                f"the tree of {recipe} was not asked for", hint="name it in the recipe's `needs`"
            ) from None

    def _note(self, kind: str, what: list[str], version: str, identity: str) -> None:
        entry = {"kind": kind, "what": what, "version": version, "sum": identity}
        if entry not in self.trace:
            self.trace.append(entry)


def moved(trace: Sequence[Mapping[str, Any]], apt: Apt) -> list[str]:
    """The Debian packages of a trace whose version or content in the (refreshed) index is another one now."""
    changed = []
    for entry in trace:
        if entry["kind"] == "deb":
            suite, arch, package = entry["what"]
            [record] = apt.binaries(suite, arch, [package])
        elif entry["kind"] == "source":
            record = apt.sources(*entry["what"])
        else:
            continue
        if record.identity != entry["sum"]:
            changed.append(f"{record.package} {entry['version']} -> {record.version}")
    return changed
