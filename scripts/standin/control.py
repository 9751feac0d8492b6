"""The stand-in's verbs: up, down and status."""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from standin import apkpack, mirror, services
from standin.apt import Apt
from standin.archives import Archives, default_series
from standin.bases import COMPOSED, Base, Bases, at_hand, find_minirootfs
from standin.builders.host import this_host
from standin.cache import Cache, default_root
from standin.catalogue import Target, load_catalogue, load_data, load_targets
from standin.errors import StandinError
from standin.registry import Image, Registry, image
from standin.state import BaseImage, State, load_state
from standin.stock import Line, Request, Stock, Stocker

_WORKERS = 2  # products made at once: most wait for the network or for one compiler

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `up` is asked for. Empty tuples mean the default.

    `architectures` are apk's names; `only` narrows the packages made now; `recipes` is a folder of recipes instead
    of the package's own; `pythons` are series ("3.11") besides the default ones (of which those that Debian does not
    have just now are left out); `wanted` are the packages that images ask for, `native` those that their build stages
    on this machine do: these are made for this machine too, whatever architectures are asked for. `refresh` reads
    Debian's indexes again and rebuilds what has changed there; `accept_newer` takes a CPython that is not pinned where
    Debian moved on.
    """

    cache: Path | None = None
    architectures: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    minirootfs: Path | None = None
    recipes: Path | None = None
    refresh: bool = False
    accept_newer: bool = False

    @property
    def root(self) -> Path:
        """The cache folder."""
        return self.cache.absolute() if self.cache else default_root()


@dataclass(frozen=True, kw_only=True)
class Status:
    """What there is: the last state, and whether its two processes run."""

    root: Path
    state: State | None
    mirror_running: bool
    registry_running: bool

    @property
    def running(self) -> bool:
        """Whether everything the state promises can be had."""
        return self.state is not None and self.mirror_running and self.registry_running


def rehearses(policy: str, apk_arch: str) -> bool:
    """Whether there are recipes for images of this policy and architecture, and a base to lay their packages onto."""
    return len(load_catalogue(policy, apk_arch)) > 0 and at_hand(policy, apk_arch, find_minirootfs(None))


def up(options: Options, report: Report) -> State:
    """Make what is missing, serve it, and write state.json; quick if there is nothing to do.

    Raises StandinError; what was finished before a failure stays, and what was served goes on being served.
    """
    with _system_errors(options.root):
        cache = Cache(options.root)
        with _exclusive(cache, report):
            cache.sweep()
            key = apkpack.signing_key(cache)
            stock = _stock(options, cache, key, report)
            state = _serve(stock, options, cache, key, report)
            state.save(cache.root)
            return state


def down(root: Path | None = None, report: Report = print) -> bool:
    """Stop what `up` started; whether anything ran. Everything made stays in the cache."""
    root = root or default_root()
    with _system_errors(root):
        supervisor = services.Supervisor(root, report)
        stopped = [supervisor.stop(name) for name in ("mirror", "registry")]
        state = load_state(root)
        if state:
            state.stopped().save(root)
    return any(stopped)


def status(root: Path | None = None) -> Status:
    """What there is; changes nothing."""
    root = root or default_root()
    supervisor = services.Supervisor(root, lambda _: None)
    return Status(
        root=root,
        state=load_state(root),
        mirror_running=supervisor.running("mirror") is not None,
        registry_running=supervisor.running("registry") is not None,
    )


def _stock(options: Options, cache: Cache, key: apkpack.SigningKey, report: Report) -> Stock:
    targets = load_targets()
    defaults = load_data("services.yaml")["defaults"]
    architectures = options.architectures or defaults["architectures"]
    unknown = [name for name in architectures if name not in targets]
    if unknown:
        raise StandinError(f"no architecture {', '.join(unknown)}", hint=f"apk's names are {', '.join(targets)}")
    apt = Apt(cache, report, refresh=options.refresh)
    bases = Bases(cache, apt, report, find_minirootfs(options.minirootfs))
    archives = Archives(cache, apt, report, accept_newer=options.accept_newer, refresh=options.refresh)
    request = Request(
        architectures=architectures,
        policies=options.policies or defaults["policies"],
        pythons=tuple(dict.fromkeys([*default_series(), *options.pythons])),
        pythons_required=tuple(name for name in options.pythons if name not in default_series()),
        only=options.only,
        native=options.native,
        machine=this_host().apk_arch if options.native else "",
        recipes=options.recipes,
        refresh=options.refresh,
    )
    stocker = Stocker(
        cache=cache,
        apt=apt,
        key=key,
        bases=bases,
        archives=archives,
        targets=list(targets.values()),
        report=report,
    )
    return stocker.fill(request, _WORKERS)


def _serve(
    stock: Stock,
    options: Options,
    cache: Cache,
    key: apkpack.SigningKey,
    report: Report,
) -> State:
    ports = load_data("services.yaml")["ports"]
    supervisor = services.Supervisor(cache.root, report)
    index = mirror.publish(cache, list(_repositories(stock.lines)), _files(stock), key)
    server = supervisor.ensure(services.mirror(cache.root, ports["mirror"]))
    process = supervisor.ensure(services.registry(cache.root, stock.registry, ports["registry"]))
    images = _push(Registry(process.address), stock.bases, load_targets())
    wanted = options.wanted or load_data("wanted.yaml")["packages"]
    return State(
        pid=server.pid,
        mirror=f"http://{server.address}/alpine",
        python=f"http://{server.address}/python",
        registry=process.address,
        key=str(key.public_path),
        bases=tuple(_base_images(stock, images, process.address)),
        archives={each.version: {"file": each.path.name, "sha256": each.sha256} for each in stock.archives},
        without=stock.without,
        index=index,
        lacks={f"{line.policy}/{line.target.apk_arch}": _lacks(line, wanted) for line in stock.lines},
    )


def _repositories(lines: Sequence[Line]) -> Iterator[mirror.Repository]:
    for line in lines:
        for name in ("main", "community"):
            yield mirror.Repository(
                place=f"v{line.base.release}/{name}/{line.target.apk_arch}",
                packages=[package for repository, package in line.packages if repository == name],
            )


def _files(stock: Stock) -> dict[str, Path]:
    files = {f"python/{each.place}": each.path for each in stock.archives}
    for base in stock.bases:
        if base.origin != COMPOSED:  # Alpine's mirrors have no such file
            files[f"alpine/v{base.release}/releases/{base.apk_arch}/{base.file_name}"] = base.layer.path
    return files


def _push(registry: Registry, bases: Sequence[Base], targets: Mapping[str, Target]) -> dict[tuple[str, str], Image]:
    """Put every base in the registry, a tag per version; answers by (version, architecture)."""
    images = {(base.version, base.apk_arch): image(base.layer, targets[base.apk_arch]) for base in bases}
    for repository, version in sorted({(base.repository, base.version) for base in bases}):
        registry.push(repository, version, [images[key] for key in sorted(images) if key[0] == version])
    return images


def _base_images(stock: Stock, images: Mapping[tuple[str, str], Image], address: str) -> Iterator[BaseImage]:
    for base in stock.bases:
        policies = [line.policy for line in stock.lines if line.base == base]
        for role, policy in [*(("build", policy) for policy in policies), ("trial", "")]:
            yield BaseImage(
                apk_arch=base.apk_arch,
                release=base.release,
                version=base.version,
                origin=base.origin,
                role=role,
                policy=policy,
                musl=base.musl,
                reference=f"{address}/{base.repository}:{base.version}",
                digest=images[base.version, base.apk_arch].digest,
            )


def _lacks(line: Line, wanted: Sequence[str]) -> tuple[str, ...]:
    there = {package.entry["P"] for _, package in line.packages} | set(line.base.packages)
    return tuple(sorted(set(wanted) - there))


@contextmanager
def _exclusive(cache: Cache, report: Report) -> Iterator[None]:
    """Two runs of `up` on one cache come one after the other."""
    with ExitStack() as stack:
        try:
            stack.enter_context(cache.lock("up", timeout=0))
        except Timeout:
            report("another `standin up` is at work on this cache: waiting for it")
            stack.enter_context(cache.lock("up"))
        yield


@contextmanager
def _system_errors(root: Path) -> Iterator[None]:
    """A full disk or a read-only cache is the user's to mend: one line instead of a traceback."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f"make room, or point MUSLLINUX_CACHE elsewhere (now {root})"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = f"point MUSLLINUX_CACHE at a writable folder (now {root})"
        else:
            raise
        raise StandinError(f"{error.filename or root}: {error.strerror}", hint=hint) from error
