"""One run's settings, from arguments and environment: where things are and what was asked for."""

import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from musllinux.errors import UsageError

if TYPE_CHECKING:  # both take a tenth of a second to import, which `--help` need not wait for
    from musllinux.model import Selection
    from musllinux.schema import Matrix


class Source(StrEnum):
    """Where inputs come from; AUTO is upstream, unless no upstream host answers before a build starts."""

    AUTO = "auto"
    UPSTREAM = "upstream"
    STANDIN = "standin"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a verb takes from outside. Paths are absolute."""

    root: Path  # the repository: matrix.yaml, lock.yaml, templates/, images/
    work: Path  # build/: one folder an image
    cache: Path  # downloads, and the stand-in's own
    overlays: tuple[Path, ...] = ()
    source: Source = Source.AUTO
    ids: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    json: bool = False
    color: bool = True  # NO_COLOR says no (no-color.org)
    ci: bool = False  # CI says that nobody watches: plain lines, no questions

    @property
    def matrix_file(self) -> Path:
        """The shipped matrix, which overlays extend."""
        return self.root / "matrix.yaml"

    @property
    def shipped_lock_file(self) -> Path:
        return self.root / "lock.yaml"

    @property
    def lock_home(self) -> Path:
        """The folder whose lock.yaml and lock/ `lock` writes: mine.lock beside the last overlay, mine.yaml.

        Without an overlay it is the repository, whose lock is the shipped matrix's alone.
        """
        return _beside(self.overlays[-1]) if self.overlays else self.root

    @property
    def lock_file(self) -> Path:
        """The lock.yaml that counts: of the last overlay that has one of its own, else the shipped one."""
        return self._home_of("lock.yaml") / "lock.yaml"

    @property
    def tool_locks(self) -> Path:
        """The folder whose lock/ counts, likewise."""
        return self._home_of("lock")

    def _home_of(self, name: str) -> Path:
        own = (_beside(overlay) for overlay in reversed(self.overlays))
        return next((home for home in own if (home / name).exists()), self.root)

    @property
    def selection(self) -> "Selection":
        from musllinux.model import Selection  # noqa: PLC0415

        return Selection(ids=self.ids, policies=self.policies, arches=self.arches, interpreters=self.interpreters)

    def matrix(self) -> "Matrix":
        """The matrix with this run's overlays. Raises MatrixError."""
        from musllinux.matrix import load  # noqa: PLC0415

        return load(self.matrix_file, self.overlays)


def _beside(overlay: Path) -> Path:
    return overlay.with_suffix(".lock")


def from_args(args: Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings of a run.

    MUSLLINUX_ROOT names a repository other than the one the program is installed from (or the current folder's),
    MUSLLINUX_CACHE a cache folder, MUSLLINUX_SOURCES is what --sources is where it is not given, NO_COLOR and CI are
    the usual ones. Raises UsageError where there is no repository, and for a source that there is not.
    """
    root = find_root(environ)
    return Settings(
        root=root,
        work=root / "build",
        cache=cache_folder(environ),
        overlays=tuple(path.absolute() for path in getattr(args, "matrix", None) or ()),
        source=Source(getattr(args, "sources", None) or _usual_source(environ)),
        ids=tuple(getattr(args, "ids", None) or ()),
        policies=tuple(getattr(args, "policy", None) or ()),
        arches=tuple(getattr(args, "arch", None) or ()),
        interpreters=tuple(getattr(args, "interpreters", None) or ()),
        json=bool(getattr(args, "json", False)),
        color="NO_COLOR" not in environ or not environ["NO_COLOR"],
        ci=environ.get("CI", "").lower() not in {"", "0", "false"},
    )


def _usual_source(environ: Mapping[str, str]) -> str:
    named = environ.get("MUSLLINUX_SOURCES") or Source.AUTO
    if named not in list(Source):
        raise UsageError(f"MUSLLINUX_SOURCES={named}: no such source", hint=f"there are {', '.join(Source)}")
    return named


def find_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The repository: MUSLLINUX_ROOT, else around the current folder, else around this file.

    Raises UsageError where none of them has matrix.yaml and templates/.
    """
    if named := environ.get("MUSLLINUX_ROOT"):
        root = Path(named).absolute()
        if not _is_root(root):
            raise UsageError(f"MUSLLINUX_ROOT={named}: no matrix.yaml and templates/ there")
        return root
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if _is_root(folder):
            return folder
    raise UsageError(
        "no matrix.yaml and templates/ in this folder or above it",
        hint="run this inside a clone of the repository, or set MUSLLINUX_ROOT",
    )


def _is_root(folder: Path) -> bool:
    return (folder / "matrix.yaml").is_file() and (folder / "templates").is_dir()


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where downloads are kept: MUSLLINUX_CACHE, else the user's cache folder of this system."""
    if named := environ.get("MUSLLINUX_CACHE"):
        return Path(named).expanduser().absolute()
    import platformdirs  # noqa: PLC0415 - not needed by --help

    return platformdirs.user_cache_path("musllinux", appauthor=False)
