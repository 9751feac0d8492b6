"""The verb that resolves versions: tools into lock/pylock.<name>.toml, archives and bases into lock.yaml.

Everything is resolved before anything is written, and every file is replaced in one step. With an overlay these files
are the overlay's own (Settings.lock_home): the repository's are the shipped matrix's, whatever an overlay makes of it.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from musllinux import baseimages, certificates, inputs, lockfile, signature, toollock
from musllinux.errors import EXIT_FAILED, EXIT_OK, FactoryError, UsageError
from musllinux.lockfile import Lock, LockedArchive, LockedBase, LockedUpstream
from musllinux.model import ordinal, tool_lock
from musllinux.pythonorg import Listing, Release
from musllinux.redact import redact
from musllinux.schema import Matrix
from musllinux.settings import Settings, from_args

PARTS = ("tools", "cpython", "bases")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that is newer than what is locked, or that is not locked yet (`locked` is empty)."""

    part: str
    name: str
    locked: str
    newest: str

    def __str__(self) -> str:
        return f"{self.part}: {self.name}: {self.locked or 'not locked'} -> {self.newest or 'gone'}"


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """What resolving needs; the network is reached with `ca` and the environment's proxies."""

    settings: Settings
    matrix: Matrix
    old: Lock  # what counted until now
    shipped: Lock  # the same, unless an overlay has locks of its own
    ca: Path | None
    unsigned: frozenset[str] = frozenset()  # series that may do without a signature that they should have

    def locked(self, series: str) -> list[LockedArchive]:
        """What is known of a series: from the lock that counts, and from the shipped one."""
        locks = (self.old.upstream.cpython, self.shipped.upstream.cpython)
        return [lock[series] for lock in locks if series in lock]

    def say(self, line: str) -> None:
        print(f"[lock] {redact(line)}", file=sys.stderr, flush=True)


def command(args: Namespace) -> int:
    """`musllinux lock`; with --check nothing is written, and exit code 1 says that something is newer."""
    settings = from_args(args)
    matrix, parts = settings.matrix(), tuple(args.only or PARTS)
    run = _resolver(settings, matrix, unsigned=_unsigned(matrix, args.unsigned or ()))
    if args.check:
        changes = [change for part in parts for change in _CHECKS[part](run)]
        _show(changes, as_json=args.json)
        return EXIT_FAILED if changes else EXIT_OK
    tools = _tools(run) if "tools" in parts else {}
    new = run.old.upstream
    if "cpython" in parts:
        new = LockedUpstream(cpython=_archives(run), bases=new.bases)
    if "bases" in parts:
        new = LockedUpstream(cpython=new.cpython, bases=_bases(run, releases_of(matrix)))
    for name, text in tools.items():
        toollock.write(settings.lock_home, name, text)
    if set(parts) != {"tools"}:
        lockfile.write(settings.lock_home / "lock.yaml", Lock(format=run.old.format, upstream=new))
    where = f" to {settings.lock_home}" if settings.overlays else ""
    run.say(f"written{where}: {', '.join(parts)}; `musllinux render` brings images/ up to date")
    return EXIT_OK


def lock_missing_bases(settings: Settings, matrix: Matrix) -> None:
    """Lock the base images that have no digest yet, and nothing else; what is locked already stays as it is.

    For the first build of a clone whose lock was written where the registry could not be reached.
    """
    run = _resolver(settings, matrix)
    known = {release for release, base in run.old.upstream.bases.items() if base.digest}
    missing = [release for release in releases_of(matrix) if release not in known]
    if not missing:
        return
    bases = {**run.old.upstream.bases, **_bases(run, missing)}
    new = LockedUpstream(cpython=run.old.upstream.cpython, bases=bases)
    path = settings.lock_home / "lock.yaml"
    lockfile.write(path, Lock(format=run.old.format, upstream=new))
    run.say(
        f"{path} had no digests of Alpine {', '.join(missing)} and has today's now: "
        "`musllinux render` brings images/ up to date, commit both"
    )


def _resolver(settings: Settings, matrix: Matrix, unsigned: frozenset[str] = frozenset()) -> Resolver:
    return Resolver(
        settings=settings,
        matrix=matrix,
        old=lockfile.load(settings.lock_file),
        shipped=lockfile.load(settings.shipped_lock_file),
        ca=certificates.bundle(),
        unsigned=unsigned,
    )


def wanted(matrix: Matrix) -> dict[str, tuple[list[str], str]]:
    """By lock name: what is asked for, and the oldest Python it must serve."""
    series = sorted({i.series for i in matrix.interpreters.values()}, key=ordinal)
    hosts = sorted(
        {matrix.interpreters[tag].series for tag in matrix.tools.host if tag in matrix.interpreters}, key=ordinal
    )
    found = {
        "interpreter": (list(matrix.tools.interpreter), series[0]),
        toollock.INSTALLER: ([toollock.INSTALLER], series[0]),
    }
    for name, tool in matrix.tools.isolated.items():
        if tool.project:
            continue
        found[name] = ([name], hosts[0])
        for policy, pin in tool.pins.items():
            if policy in matrix.policies:
                found[tool_lock(name, tool, policy)] = ([pin], hosts[0])
    return found


def series_of(matrix: Matrix) -> list[str]:
    """Every X.Y of the matrix, the oldest first."""
    return sorted({interpreter.series for interpreter in matrix.interpreters.values()}, key=ordinal)


def releases_of(matrix: Matrix) -> list[str]:
    """Every Alpine release that images are built on or tried on, the oldest first."""
    named = {release for policy in matrix.policies.values() for release in (policy.alpine, *policy.trials)}
    return sorted(named, key=ordinal)


def _unsigned(matrix: Matrix, names: Iterable[str]) -> frozenset[str]:
    there = series_of(matrix)
    for name in names:
        if name not in there:
            raise UsageError(f"--unsigned {name}: no such series in the matrix", hint=f"one of: {', '.join(there)}")
    return frozenset(names)


def _tools(run: Resolver) -> dict[str, str]:
    """The text of every tool lock."""
    found = {}
    for name, (requirements, oldest) in wanted(run.matrix).items():
        run.say(f"resolving {name}")
        found[name] = toollock.resolve(run.settings.root, name, requirements, oldest)
    return found


def _archives(run: Resolver) -> dict[str, LockedArchive]:
    listing = Listing(run.matrix.sources.upstream.python, run.ca)
    if not signature.available():
        run.say("signatures are not verified: `pip install -r requirements-sigstore.lock` brings what does that")
    return {series: _archive(run, listing, series) for series in series_of(run.matrix)}


def _archive(run: Resolver, listing: Listing, series: str) -> LockedArchive:
    """The newest release; the sum of one that is locked already stays, whatever the server has under its name now."""
    release = listing.newest(series)
    same = (lock for lock in run.locked(series) if (lock.version, lock.file) == (release.version, release.file))
    old = next(same, None)
    if old:
        sha256, signer = old.sha256, old.signer
    else:
        sha256 = inputs.unknown_archive(run.settings.cache, listing.place(release), run.say, run.ca)
        signer = ""
    return LockedArchive(
        version=release.version,
        file=release.file,
        sha256=sha256,
        signer=_signer(run, listing, release, sha256) or signer,
    )


def _signer(run: Resolver, listing: Listing, release: Release, sha256: str) -> str:
    """Whose verified signature the sum has; empty where none was ever expected, or none can be verified here.

    Raises FactoryError for a wrong signature, for one that cannot be read, and where there is none for a new sum in a
    series that had one: whoever can change an archive on its way can also take its bundle away or spoil it.
    """
    series = _series(release)
    signer = run.matrix.python.signers.get(series)
    if signer is None or not signature.available():
        return ""
    bundle = listing.bundle(release)
    if bundle is None:
        if not _kept(run, release, sha256) and _signed_before(run, series):
            _refuse(run, release, f"{release.file} has no Sigstore bundle")
        run.say(f"{release.file} has no Sigstore bundle")
        return ""
    try:
        signature.verify(release.file, sha256, bundle, signer)
    except signature.UnusableBundleError as error:
        _refuse(run, release, error.message)
        run.say(error.message)
        return ""
    run.say(f"{release.file} is signed by {signer.identity}")
    return signer.identity


def _refuse(run: Resolver, release: Release, what: str) -> None:
    """Raises FactoryError: what is wrong with a signature and whose it should be; not where --unsigned allows that."""
    series = _series(release)
    if series in run.unsigned:
        return
    old, signer = _signed_before(run, series), run.matrix.python.signers[series].identity
    whose = f"{old.version}, locked before, is signed by {old.signer}" if old else f"{signer} signs this series"
    raise FactoryError(
        f"{what}; {whose}",
        hint=f"compare with what python.org has; `musllinux lock --unsigned {series}` goes on without the signature",
    )


def _signed_before(run: Resolver, series: str) -> LockedArchive | None:
    return next((archive for archive in run.locked(series) if archive.signer), None)


def _kept(run: Resolver, release: Release, sha256: str) -> bool:
    """Whether nothing new is locked: this sum of this release is what it was."""
    return (release.version, sha256) in {(old.version, old.sha256) for old in run.locked(_series(release))}


def _series(release: Release) -> str:
    return ".".join(release.version.split(".")[:2])


def _bases(run: Resolver, releases: Iterable[str]) -> dict[str, LockedBase]:
    where = baseimages.library(run.matrix, run.ca)
    arches = run.matrix.architectures.values()
    found = {}
    with closing(where.client):
        for release in releases:
            version = baseimages.newest(where, release)
            run.say(f"asking for {where.base.format(alpine=version)}")
            found[release] = baseimages.locked(where, release, version, arches)
    return found


def _newer_tools(run: Resolver) -> Iterator[Change]:
    for name, text in _tools(run).items():
        try:
            old = toollock.versions(toollock.lock_path(run.settings.tool_locks, name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            old = {}
        except ValueError as error:
            path = toollock.lock_path(run.settings.tool_locks, name)
            raise FactoryError(f"{path}: not TOML: {error}", hint="`musllinux lock --only tools` renews it") from error
        new = toollock.versions(text)
        for project in sorted({*old, *new}):
            if old.get(project) != new.get(project):
                yield Change(
                    part="tools", name=f"{project} ({name})", locked=old.get(project, ""), newest=new.get(project, "")
                )


def _newer_archives(run: Resolver) -> Iterator[Change]:
    listing = Listing(run.matrix.sources.upstream.python, run.ca)
    for series in series_of(run.matrix):
        old, release = run.old.upstream.cpython.get(series), listing.newest(series)
        if old is None or (old.version, old.file) != (release.version, release.file):
            yield Change(part="cpython", name=series, locked=old.version if old else "", newest=release.version)


def _newer_bases(run: Resolver) -> Iterator[Change]:
    """A newer point release, or other bytes under the tag that is locked (Alpine rebuilds images now and then)."""
    new = _bases(run, releases_of(run.matrix))
    for release, base in new.items():
        old = run.old.upstream.bases.get(release)
        if old is None or old.digest != base.digest:
            locked = f"{old.version} {old.digest}".strip() if old and old.digest else ""
            yield Change(part="bases", name=release, locked=locked, newest=f"{base.version} {base.digest}")


_CHECKS: dict[str, Callable[[Resolver], Iterator[Change]]] = {
    "tools": _newer_tools,
    "cpython": _newer_archives,
    "bases": _newer_bases,
}


def _show(changes: list[Change], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"format": 1, "newer": [asdict(change) for change in changes]}, indent=1))
        return
    for change in changes:
        print(change)
    print(f"{len(changes) or 'nothing'} newer than what is locked", file=sys.stderr)
