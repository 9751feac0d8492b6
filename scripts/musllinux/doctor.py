"""`musllinux doctor`: what this machine has for building images, each with its remedy where it lacks something."""

import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from musllinux import certificates as trusted
from musllinux import emulation, engine, lockfile, reachable, realrun, secretfile, settings
from musllinux.errors import EXIT_FAILED, EXIT_OK, FactoryError
from musllinux.model import ordinal
from musllinux.redact import redact
from musllinux.run import run as run_program
from musllinux.schema import ArchitectureSection
from musllinux.settings import Settings

GIB = 1 << 30
LEAST_DISK = 15 * GIB  # one image cold: layers, BuildKit's cache and downloads
LEAST_MEMORY = 2 * GIB  # compiling CPython with link-time optimisation on two cores


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"  # works without, or for other images than these
    LACKS = "lacks"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: what was seen, and, where that is not enough, what to do."""

    name: str
    verdict: Verdict
    seen: str
    remedy: str = ""


def command(args: Namespace) -> int:
    """`musllinux doctor`: exit code 1 where something needed is lacking."""
    found = list(examine(settings.from_args(args)))
    if args.json:
        print(json.dumps({"format": 1, "findings": [asdict(f) for f in found]}, indent=1))
    else:
        print("\n".join(lines(found)))
    return EXIT_FAILED if any(f.verdict is Verdict.LACKS for f in found) else EXIT_OK


def examine(run: Settings) -> Iterator[Finding]:
    """Look at everything; nothing is changed, and one thing that cannot be looked at does not hide the others."""
    yield python()
    yield from docker_commands(engine.candidates())
    about, facts = engine_facts()
    yield about
    yield from emulators(run.matrix().architectures, platform.machine(), run.overlays)
    own = {"engine": Path(facts["DockerRootDir"])} if facts.get("DockerRootDir") else {}
    yield buildkit()
    yield from disks({"downloads": run.cache, "records": run.work, **own})
    yield memory(Path("/proc/meminfo").read_text())
    yield certificates(os.environ)
    yield from network(run)
    yield locked(run)
    yield standin(run)
    yield minirootfs()


def lines(found: Iterable[Finding]) -> Iterator[str]:
    """As a person reads it: the remedies under what they are for."""
    for finding in found:
        yield f"{finding.verdict:5}  {finding.name}: {finding.seen}"
        if finding.remedy:
            yield f"       -> {finding.remedy}"


def python() -> Finding:
    """The interpreter that runs this."""
    where = "in a virtual environment" if sys.prefix != sys.base_prefix else "without a virtual environment"
    return Finding(name="python", verdict=Verdict.OK, seen=f"{platform.python_version()} {where}: {sys.prefix}")


def docker_commands(candidates: Iterable[engine.Candidate]) -> Iterator[Finding]:
    """Every docker on PATH, and which one builds."""
    there = list(candidates)
    usable = sorted((c for c in there if c.usable), key=lambda c: not c.buildx)
    for candidate in there:
        chosen = "builds with it" if usable and candidate is usable[0] else "not used"
        seen = f"{candidate.path}: {candidate.verdict} ({chosen})"
        yield Finding(name="docker", verdict=Verdict.OK if candidate.usable else Verdict.NOTE, seen=seen)
    if not usable:
        seen = "no docker command that can use BuildKit"
        yield Finding(name="docker", verdict=Verdict.LACKS, seen=seen, remedy="`make setup` installs docker.io")
    elif not usable[0].buildx:
        yield Finding(
            name="buildx",
            verdict=Verdict.NOTE,
            seen="not there: no remote builders, no cache export",
            remedy="install docker-buildx where they are wanted",
        )


def engine_facts() -> tuple[Finding, Mapping[str, Any]]:
    """The engine, and what it says of itself (`docker info`)."""
    try:
        with closing(engine.connect(timeout=20)) as client, engine.asking("about itself"):
            info: Mapping[str, Any] = client.info()
    except FactoryError as error:
        return Finding(name="engine", verdict=Verdict.LACKS, seen=error.message, remedy=error.hint), {}
    seen = (
        f"Docker {info.get('ServerVersion')}, {info.get('Driver')}, {info.get('NCPU')} processors, "
        f"{int(info.get('MemTotal') or 0) / GIB:.0f} GiB, {info.get('OSType')}/{info.get('Architecture')}"
    )
    return Finding(name="engine", verdict=Verdict.OK, seen=seen), info


def emulators(
    arches: Mapping[str, ArchitectureSection],
    machine: str,
    overlays: Sequence[Path] = (),
    binfmt: Path = emulation.BINFMT,
) -> Iterator[Finding]:
    """qemu-user for every architecture of the matrix that this processor does not run by itself."""
    if not emulation.engine_is_here():
        yield Finding(name="emulators", verdict=Verdict.NOTE, seen="the engine is on another machine: not looked at")
        return
    matrix = f"MATRIX={shlex.quote(' '.join(map(str, overlays)))} " if overlays else ""
    foreign = {name: arch for name, arch in arches.items() if machine not in (arch.runs_on or arch.uname)}
    for name, arch in sorted(foreign.items(), key=lambda item: item[1].qemu):
        yield emulator(arch.qemu, f"make emulators {matrix}ARCH={name}", arch.qemu_since, binfmt)


def emulator(name: str, registers: str, since: str | None = None, binfmt: Path = emulation.BINFMT) -> Finding:
    """One of the kernel's handlers. `registers`: the command for it; `since`: the first qemu that computes right."""
    found, title = emulation.handler(name, binfmt), f"emulator {name}"
    if found.problem:
        remedy = f"`{registers}` registers it; only images of that architecture need it"
        return Finding(name=title, verdict=Verdict.NOTE, seen=found.problem, remedy=remedy)
    version = emulation.qemu_version(found.program)
    seen, number = f"{found.program}, {version}", emulation.number(version)
    if since and number and number < ordinal(since):
        remedy = f"install qemu-user {since} or newer, then `{registers} AGAIN=1`: the kernel keeps what it has opened"
        seen += f", which computes wrong there: {since} is the first that does not"
        return Finding(name=title, verdict=Verdict.NOTE, seen=seen, remedy=remedy)
    if wrong := realrun.run(name):
        remedy = f"`{registers} AGAIN=1` registers it anew"
        return Finding(name=title, verdict=Verdict.NOTE, seen=f"{seen}, but {wrong}", remedy=remedy)
    return Finding(name=title, verdict=Verdict.OK, seen=f"{seen}, runs a program")


def disks(places: Mapping[str, Path]) -> Iterator[Finding]:
    """Free space for each use; uses on one file system are one line."""
    by_device: dict[int, tuple[list[str], Path]] = {}
    for use, place in places.items():
        there = next(p for p in (place, *place.parents) if p.exists())
        by_device.setdefault(there.stat().st_dev, ([], there))[0].append(use)
    for uses, there in by_device.values():
        free = shutil.disk_usage(there).free
        enough = free >= LEAST_DISK
        yield Finding(
            name="disk",
            verdict=Verdict.OK if enough else Verdict.LACKS,
            seen=f"{free / GIB:.0f} GiB free for {', '.join(uses)} ({there})",
            remedy="" if enough else "`musllinux clean`, `docker system prune` or a larger disk: 15 GiB are used",
        )


def memory(meminfo: str) -> Finding:
    """Of this machine, from /proc/meminfo (kB)."""
    values = {name: int(rest.split()[0]) * 1024 for name, _, rest in (li.partition(":") for li in meminfo.splitlines())}
    free, total = values["MemAvailable"], values["MemTotal"]
    enough = free >= LEAST_MEMORY
    return Finding(
        name="memory",
        verdict=Verdict.OK if enough else Verdict.LACKS,
        seen=f"{free / GIB:.1f} of {total / GIB:.1f} GiB available, {os.cpu_count()} processors",
        remedy="" if enough else "end something, or add swap: compiling CPython takes 2 GiB",
    )


def buildkit() -> Finding:
    """A real build, of an image with nothing in it."""
    try:
        client = engine.find_client()
        with tempfile.TemporaryDirectory(prefix="musllinux-") as folder, secretfile.held({"probe": b"x"}) as secrets:
            context = Path(folder)
            (context / "Dockerfile").write_text('FROM scratch\nLABEL io.github.musllinux-factory.probe="1"\n')
            argv = client.build_argv(
                context=context,
                dockerfile=context / "Dockerfile",
                tag="",
                platform=engine.whereabouts().platform,
                secrets=secrets.paths,
                iidfile=context / "id",
            )
            done = run_program(argv, env=client.env, pass_fds=secrets.fds, timeout=120)
            _forget((context / "id").read_text())
    except (FactoryError, OSError) as error:
        said = error.message.splitlines()[0] if isinstance(error, FactoryError) else str(error)
        remedy = "`make setup` installs an engine with BuildKit; the engine's own log says more"
        return Finding(name="BuildKit", verdict=Verdict.LACKS, seen=said, remedy=remedy)
    how = f"buildx {client.buildx}" if client.buildx else "the engine's own (DOCKER_BUILDKIT=1)"
    return Finding(name="BuildKit", verdict=Verdict.OK, seen=f"{how}, builds ({done.seconds:.1f} s)")


def _forget(image: str) -> None:
    with closing(engine.connect(timeout=20)) as client, suppress(Exception):
        client.images.remove(image, force=True)


def certificates(environ: Mapping[str, str]) -> Finding:
    """The bundle that downloads trust."""
    try:
        bundle = trusted.bundle(environ)
        count = len(trusted.certificates(bundle).split(b"-----END")) - 1 if bundle else 0
    except FactoryError as error:
        return Finding(name="certificates", verdict=Verdict.LACKS, seen=error.message, remedy=error.hint)
    if bundle is None:
        return Finding(
            name="certificates",
            verdict=Verdict.NOTE,
            seen="the system has no bundle: the programs' own are used",
            remedy="Debian's package is ca-certificates; --ca-bundle names one of your own",
        )
    named = next((f"{name}=" for name in trusted.VARIABLES if environ.get(name)), "the system's ")
    return Finding(name="certificates", verdict=Verdict.OK, seen=f"{named}{bundle}, {count} certificates")


def network(run: Settings) -> Iterator[Finding]:
    """Every source of upstream, asked through the user's proxies."""
    try:
        ca = trusted.bundle()
    except FactoryError:
        ca = None  # said already
    asked = reachable.ask(reachable.sources(run.matrix()), ca)
    for reached in asked:
        yield _reached(reached)
    skew = max((each.skew for each in asked), key=abs, default=0.0)
    if abs(skew) > reachable.WRONG:
        yield Finding(
            name="clock",
            verdict=Verdict.LACKS,
            seen=f"{abs(skew) / 3600:.1f} hours {'ahead of' if skew > 0 else 'behind'} the servers'",
            remedy="set it (`timedatectl set-ntp true`): certificates and signatures are checked by it",
        )


def _reached(reached: reachable.Reached) -> Finding:
    """A source that cannot be reached is a note: the stand-in, a mirror or a cache may do for it."""
    name = f"source of {reached.source.name}"
    if reached.problem:
        hint = reached.hint or "is the address in the matrix (or the overlay) right?"
        return Finding(name=name, verdict=Verdict.NOTE, seen=redact(reached.problem), remedy=hint)
    return Finding(
        name=name, verdict=Verdict.OK, seen=f"{redact(reached.source.url)} answers in {reached.seconds:.1f} s"
    )


def locked(run: Settings) -> Finding:
    """Whether upstream's inputs are pinned."""
    try:
        bases = lockfile.load(run.lock_file).upstream.bases
    except FactoryError as error:
        return Finding(name="lock", verdict=Verdict.LACKS, seen=error.message.splitlines()[0], remedy=error.hint)
    missing = [release for release, base in bases.items() if not base.digest]
    if missing:
        seen = f"no digest of the base images of Alpine {', '.join(missing)}"
        return Finding(
            name="lock", verdict=Verdict.NOTE, seen=seen, remedy="`musllinux lock --only bases` asks for them"
        )
    return Finding(name="lock", verdict=Verdict.OK, seen=f"the base images of {len(bases)} releases are pinned")


def minirootfs() -> Finding:
    """Alpine's own tarballs, which the stand-in's base images are made of where they are there."""
    return _guarded("minirootfs", _minirootfs)


def _minirootfs() -> Finding:
    from standin.bases import ENVIRONMENT, find_minirootfs  # noqa: PLC0415

    folder = find_minirootfs(None)
    count = len(list(folder.glob("alpine-minirootfs-*.tar.gz"))) if folder else 0
    if folder and count:
        return Finding(name="minirootfs", verdict=Verdict.OK, seen=f"{count} tarballs of Alpine's in {folder}")
    return Finding(
        name="minirootfs",
        verdict=Verdict.NOTE,
        seen="none: the stand-in's x86_64 and aarch64 bases come from PyPI, it has no others",
        remedy=f"{ENVIRONMENT} names a folder of Alpine's minirootfs tarballs",
    )


def standin(run: Settings) -> Finding:
    """Whether the stand-in runs; it is needed only where no upstream host answers."""
    return _guarded("stand-in", lambda: _standin(run))


def _standin(run: Settings) -> Finding:
    from musllinux import rehearsal  # noqa: PLC0415 - imports the stand-in
    from standin import control  # noqa: PLC0415

    status = control.status(rehearsal.cache(run))
    if status.running and status.state:
        return Finding(name="stand-in", verdict=Verdict.OK, seen=f"serves {status.state.mirror}, cache {status.root}")
    made = "stopped" if status.state else "never made"
    return Finding(
        name="stand-in",
        verdict=Verdict.NOTE,
        seen=f"{made}, cache {status.root}",
        remedy="`make standin` starts it; a build without upstream hosts does so by itself",
    )


def _guarded(name: str, look: Callable[[], Finding]) -> Finding:
    """A cache or state that cannot be read is a finding, not the end of the examination."""
    from standin.errors import StandinError  # noqa: PLC0415

    try:
        return look()
    except (FactoryError, StandinError) as error:
        return Finding(name=name, verdict=Verdict.LACKS, seen=error.message, remedy=error.hint)
