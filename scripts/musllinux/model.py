"""From matrix and supply to images: every value resolved.

Nothing downstream asks which architecture this is.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from musllinux.apkindex import Package, closure, content
from musllinux.errors import FactoryError, UsageError
from musllinux.schema import ArchitectureSection, Matrix, PolicySection, ToolSection

LABELS = "io.github.musllinux-factory"

OPT = "/opt/_internal"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A CPython source archive: file name below `<python>/<folder>/`, and its SHA-256 in hex."""

    version: str
    file: str
    sha256: str

    @property
    def folder(self) -> str:
        """As on python.org, prereleases are in their release's folder: 3.15.0rc1 in 3.15.0."""
        return re.sub(r"(a|b|rc)\d+$", "", self.version)


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base image, pinned. `reference`: what FROM takes, digest and all; `release`: as in Alpine's URLs, 3.22."""

    reference: str
    release: str
    version: str
    digest: str
    nearer: str = ""  # a reference to the same bytes on this machine, where one is served for a build

    @property
    def pulled(self) -> str:
        """What FROM takes."""
        return self.nearer or self.reference


@dataclass(frozen=True, kw_only=True)
class Supply:
    """Where everything comes from in one run: upstream's hosts, or the stand-in's on loopback."""

    name: str
    publishable: bool
    mirror: str  # <mirror>/v3.22/main/x86_64/APKINDEX.tar.gz
    python: str  # <python>/3.14.6/Python-3.14.6.tar.xz, a prerelease in its release's folder
    archives: Mapping[str, Archive]  # by series ("3.14")
    bases: Mapping[tuple[str, str], Base]  # by (Alpine release that a policy asks for, wheel architecture)
    lacks: Mapping[tuple[str, str], frozenset[str]]  # by (policy, wheel architecture): apk packages it does not have
    without: frozenset[str] = frozenset()  # libraries (names in the matrix) that it cannot give
    rust: str = ""  # what Rust's target is called there: {triple} or {rust} of the architecture
    rust_releases: Mapping[str, str] = field(default_factory=dict)  # by wheel architecture: who has it
    crates: str = ""  # a sparse index of crates, where Rust's sources do not bring those that std needs
    apk_key: str = ""  # path of a public key that signs its packages, besides Alpine's own
    network: str = ""  # the build's network mode where it needs one
    # what the mirror serves, by (release, apk architecture), where that is known: it decides what is built again
    packages: Mapping[tuple[str, str], tuple[Package, ...]] = field(default_factory=dict)
    machine: str = ""  # the building machine as apk calls it, where that is known: whose packages the native stages use


@dataclass(frozen=True, kw_only=True)
class Policy:
    name: str  # musllinux_1_2
    alpine: str  # 3.22
    floor: str  # 1.2.2
    time_t_32: int
    trials: tuple[str, ...]

    @property
    def underscored(self) -> str:
        """The policy's version as PEP 656 writes it: 1_2."""
        return self.name.removeprefix("musllinux_")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    name: str  # x86_64, i686, aarch64, armv7l, …: as wheels say
    apk: str
    platform: str  # linux/arm/v7
    triple: str
    loader: str
    rust: str
    bits: int
    endian: str
    uname: tuple[str, ...]
    runs_on: tuple[str, ...]  # `uname -m` of machines that need no emulator for it
    entry: tuple[str, ...]
    march: tuple[str, ...]
    qemu: str
    qemu_since: str | None
    qemu_lacks: tuple[str, ...]  # what its programs cannot have under the emulator (schema.QemuLack)
    relative: int  # the psABI's number of R_*_RELATIVE

    @property
    def libc(self) -> str:
        """musl's SONAME: libc.musl-x86_64.so.1 (Alpine's, and what NEEDED says in every wheel).

        Named after apk's architecture, while the loader has musl's own name for it: Alpine's APKBUILD of musl.
        """
        return f"libc.musl-{self.apk}.so.1"


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    tag: str  # cp314-cp314t
    series: str  # 3.14
    free_threaded: bool
    archive: Archive
    configure: tuple[str, ...]  # arguments besides those of every cross build
    stack: int  # bytes of a thread's stack
    recursion: int  # levels through C that a thread must reach
    modules: tuple[str, ...]  # extension modules that its libraries must have given

    @property
    def suffix(self) -> str:
        """What a free-threaded build appends to its names: python3.14t."""
        return "t" if self.free_threaded else ""

    @property
    def version(self) -> str:
        return self.archive.version

    @property
    def prefix(self) -> str:
        return f"{OPT}/cpython-{self.version}{'-nogil' if self.free_threaded else ''}"

    @property
    def executable(self) -> str:
        return f"python{self.series}{self.suffix}"


@dataclass(frozen=True, kw_only=True)
class Library:
    name: str
    build: str
    run: str | None
    modules: tuple[str, ...]
    since: str | None
    until: str | None

    def serves(self, series: str) -> bool:
        wanted = ordinal(series)
        return ordinal(self.since or series) <= wanted <= ordinal(self.until or series)


@dataclass(frozen=True, kw_only=True)
class Rust:
    """The image's Rust, out of one Alpine release's packages; std is compiled from its sources."""

    release: str  # whose repositories have the packages
    prefix: str  # /opt/rust
    target: str  # what cargo compiles for unless told otherwise
    packages: tuple[str, ...]
    builder: tuple[str, ...]  # packages of the native stage that compiles std
    cfg: tuple[str, ...]  # what the libc crate is told about time_t: --cfg
    env: tuple[str, ...]  # … and variables that are 1
    uncompiled: tuple[str, ...]  # build backends that would have to be compiled for this architecture first


@dataclass(frozen=True, kw_only=True)
class Tool:
    name: str
    lock: str | None  # lock/pylock.<lock>.toml
    commands: tuple[str, ...]
    project: str | None  # a package of this repository, which needs no other: it has no lock


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image, every value resolved."""

    policy: Policy
    arch: Architecture
    base: Base
    trials: Mapping[str, Base]  # pristine bases, by Alpine release (a part of policy.trials) or by musl version
    interpreters: tuple[Interpreter, ...]
    libraries: tuple[Library, ...]
    system_packages: tuple[str, ...]
    sysroot_packages: tuple[str, ...]
    native_packages: tuple[str, ...]
    rust: Rust | None  # None where the supply has none
    lacking: tuple[str, ...]  # packages the matrix asks for and this supply does not have
    tools: tuple[Tool, ...]
    interpreter_tools: tuple[str, ...]
    tool_host: Interpreter
    supply: Supply
    registry: str
    organisation: str
    source: str
    licence: str

    @property
    def id(self) -> str:
        return f"{self.policy.name}_{self.arch.name}"

    @property
    def time_t(self) -> int:
        """Bits of time_t in C."""
        return max(self.arch.bits, self.policy.time_t_32)

    @property
    def tag(self) -> str:
        """The local tag of a built image."""
        return f"{self.id}:latest"

    @property
    def plat(self) -> str:
        """The platform tag of the wheels it builds; auditwheel's AUDITWHEEL_PLAT. Equal to the id by design."""
        return self.id

    @property
    def repository(self) -> str:
        return f"{self.registry}/{self.organisation}/{self.id}"

    @property
    def series(self) -> tuple[str, ...]:
        """Each X.Y once: a build Python is made for each and shared by its builds with and without the GIL."""
        return tuple(dict.fromkeys(i.series for i in self.interpreters))

    def archive(self, series: str) -> Archive:
        return next(i.archive for i in self.interpreters if i.series == series)

    @property
    def environment(self) -> Mapping[str, str]:
        """The image's environment, as users of the pypa images know it (facts: pypa/manylinux, docker/Dockerfile)."""
        values = {
            "AUDITWHEEL_POLICY": self.policy.name,
            "AUDITWHEEL_ARCH": self.arch.name,
            "AUDITWHEEL_PLAT": self.plat,
            "LC_ALL": "C.UTF-8",
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PKG_CONFIG_PATH": "/usr/local/lib/pkgconfig",
            "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        }
        return values if self.supply.publishable else {**values, "MUSLLINUX_STANDIN": "1"}

    @property
    def labels(self) -> Mapping[str, str]:
        """OCI labels that follow from the model; created and revision are the build's to add."""
        values = {
            "org.opencontainers.image.title": self.id,
            "org.opencontainers.image.source": self.source,
            "org.opencontainers.image.licenses": self.licence,
            "org.opencontainers.image.base.name": self.base.reference.split("@")[0],
            "org.opencontainers.image.base.digest": self.base.digest,
            f"{LABELS}.policy": self.policy.name,
            f"{LABELS}.arch": self.arch.name,
            f"{LABELS}.floor": self.policy.floor,
        }
        return values if self.supply.publishable else {**values, f"{LABELS}.standin": "1"}

    @property
    def contents(self) -> Mapping[str, str]:
        """Build arguments that change when the packages of a stage do: BuildKit cannot see what apk would fetch."""
        return {
            f"{stage.upper().replace('-', '_')}_CONTENT": content(self._served(release, apk), names)
            for stage, (release, apk, names) in self._asked.items()
        }

    @property
    def offered(self) -> Mapping[str, tuple[str, ...]]:
        """By stage that leaves no apk database in the image: what the mirror's index has for it, as `name-version`.

        Sorted; with everything that those packages depend on, and of several that provide the same each. What is not
        known of is left out.
        """
        found = {
            stage: tuple(f"{p.name}-{p.version}" for p in closure(self._served(release, apk), names))
            for stage, (release, apk, names) in self._asked.items()
            if stage != "system"
        }
        return {stage: packages for stage, packages in found.items() if packages}

    @property
    def _asked(self) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        """By stage that asks apk for packages: of which release, for which architecture of apk's, and for which."""
        own, machine = self.arch.apk, self.supply.machine
        found = {
            "native": (self.base.release, machine, self.native_packages),
            "sysroot": (self.base.release, own, self.sysroot_packages),
            "system": (self.base.release, own, self.system_packages),
        }
        if self.rust:
            found["rust-builder"] = (self.rust.release, machine, self.rust.builder)
            found["rust"] = (self.rust.release, own, self.rust.packages)
        return found

    def _served(self, release: str, apk: str) -> tuple[Package, ...]:
        return self.supply.packages.get((release, apk), ())

    @property
    def repositories(self) -> tuple[str, ...]:
        """URLs for apk, of the base's own release."""
        return self._repositories(self.base.release)

    @property
    def rust_repositories(self) -> tuple[str, ...]:
        """URLs for apk, of the release that Rust comes from; none for an image without it."""
        return self._repositories(self.rust.release) if self.rust else ()

    def _repositories(self, release: str) -> tuple[str, ...]:
        return tuple(f"{self.supply.mirror}/v{release}/{part}" for part in ("main", "community"))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What of the matrix is asked for; empty means all. Names are checked by `select`."""

    ids: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()


def ordinal(version: str) -> tuple[int, ...]:
    """'3.14' -> (3, 14), for comparing."""
    return tuple(int(part) for part in version.split("."))


def image_ids(matrix: Matrix) -> list[str]:
    return [f"{policy}_{arch}" for policy in matrix.policies for arch in matrix.architectures]


def select(matrix: Matrix, selection: Selection) -> list[tuple[str, str]]:
    """The (policy, architecture) pairs asked for, in the matrix's order.

    Raises UsageError for a name that the matrix does not have; it says which there are.
    """
    _known("image", selection.ids, image_ids(matrix))
    _known("policy", selection.policies, list(matrix.policies))
    _known("architecture", selection.arches, list(matrix.architectures))
    _known("interpreter", selection.interpreters, list(matrix.interpreters))
    return [
        (policy, arch)
        for policy in matrix.policies
        for arch in matrix.architectures
        if (not selection.ids or f"{policy}_{arch}" in selection.ids)
        and (not selection.policies or policy in selection.policies)
        and (not selection.arches or arch in selection.arches)
    ]


def resolve(matrix: Matrix, supply: Supply, selection: Selection = Selection()) -> list[Image]:
    """Every image asked for, from this supply.

    Raises UsageError for unknown names and FactoryError where the supply has no base or no interpreter for an image.
    """
    return [_image(matrix, supply, policy, arch, selection) for policy, arch in select(matrix, selection)]


def _known(kind: str, asked: Sequence[str], there: Sequence[str]) -> None:
    for name in asked:
        if name not in there:
            raise UsageError(f"no {kind} {name!r} in the matrix", hint=f"one of: {', '.join(there)}")


def _image(matrix: Matrix, supply: Supply, policy: str, arch: str, selection: Selection) -> Image:
    section = matrix.policies[policy]
    lacks = supply.lacks.get((policy, arch), frozenset())
    unavailable = lacks | set(section.without)
    libraries = _libraries(matrix, unavailable, supply.without)
    runtime = [lib.run for lib in libraries if lib.run]
    system = sorted({*matrix.packages.system, *runtime})
    sysroot = sorted({*matrix.packages.sysroot, *(lib.build for lib in libraries)})
    architecture = matrix.architectures[arch]
    interpreters = _interpreters(matrix, supply, architecture, libraries, selection)
    rust = _rust(matrix, supply, section, arch)
    wanted = {*system, *(lib.build for lib in matrix.libraries.values())}
    return Image(
        policy=_policy(policy, section),
        arch=_architecture(arch, architecture),
        base=_base(supply, section.alpine, arch),
        trials=_trials(supply, section, arch),
        interpreters=interpreters,
        libraries=libraries,
        system_packages=tuple(p for p in system if p not in unavailable),
        sysroot_packages=tuple(sysroot),
        native_packages=tuple(p for p in sorted(matrix.packages.native) if p not in section.without),
        rust=rust,
        lacking=(*sorted(wanted & lacks), *sorted(supply.without), *(() if rust else ("rust",))),
        tools=_tools(matrix, policy, arch),
        interpreter_tools=tuple(matrix.tools.interpreter),
        tool_host=_tool_host(matrix, interpreters),
        supply=supply,
        registry=matrix.image.registry,
        organisation=matrix.image.organisation,
        source=matrix.image.source,
        licence=matrix.image.licence,
    )


def _libraries(matrix: Matrix, unavailable: Set[str], without: Set[str]) -> tuple[Library, ...]:
    return tuple(
        Library(name=name, build=lib.build, run=lib.run, modules=tuple(lib.modules), since=lib.since, until=lib.until)
        for name, lib in matrix.libraries.items()
        if lib.build not in unavailable and name not in without
    )


def _policy(name: str, section: PolicySection) -> Policy:
    return Policy(
        name=name,
        alpine=section.alpine,
        floor=section.floor,
        time_t_32=section.time_t_32,
        trials=tuple(section.trials),
    )


def _architecture(name: str, section: ArchitectureSection) -> Architecture:
    return Architecture(
        name=name,
        apk=section.apk,
        platform=section.platform,
        triple=section.triple,
        loader=section.loader,
        rust=section.rust,
        bits=section.bits,
        endian=section.endian,
        uname=tuple(section.uname),
        runs_on=tuple(section.runs_on or section.uname),
        entry=tuple(section.entry),
        march=tuple(section.march),
        qemu=section.qemu,
        qemu_since=section.qemu_since,
        qemu_lacks=tuple(section.qemu_lacks),
        relative=section.relative,
    )


def _rust(matrix: Matrix, supply: Supply, policy: PolicySection, arch: str) -> Rust | None:
    section, architecture = matrix.rust, matrix.architectures[arch]
    release = supply.rust_releases.get(arch)
    if release is None:
        return None
    time64 = architecture.bits < policy.time_t_32  # musl 1.2 changed the ABI of 32-bit architectures only
    return Rust(
        release=release,
        prefix=section.prefix,
        target=supply.rust.format(triple=architecture.triple, rust=architecture.rust),
        packages=tuple(section.packages),
        builder=tuple(section.builder),
        cfg=tuple(section.time64.cfg) if time64 else (),
        env=(section.time64.env,) if time64 else (),
        uncompiled=tuple(name for name, backend in section.backends.items() if arch in backend.without),
    )


def tool_lock(name: str, section: ToolSection, policy: str) -> str:
    """The lock/pylock.<name>.toml that a policy's images take a tool from: cmake, or where it is pinned cmake-1_1."""
    return f"{name}-{policy.removeprefix('musllinux_')}" if policy in section.pins else name


def _tools(matrix: Matrix, policy: str, arch: str) -> tuple[Tool, ...]:
    names = {arch, policy, f"{policy}_{arch}"}
    return tuple(
        Tool(
            name=name,
            lock=None if section.project else tool_lock(name, section, policy),
            commands=tuple(section.commands),
            project=section.project,
        )
        for name, section in matrix.tools.isolated.items()
        if not names & set(section.without)
    )


def _base(supply: Supply, alpine: str, arch: str) -> Base:
    base = supply.bases.get((alpine, arch))
    if base is None:
        raise FactoryError(
            f"source {supply.name!r} has no base image for Alpine {alpine} on {arch}",
            hint="`musllinux lock` records upstream's, `musllinux standin status` shows the stand-in's",
        )
    return base


def _trials(supply: Supply, section: PolicySection, arch: str) -> dict[str, Base]:
    """The releases the policy names, as far as this supply has them, and a base with the floor's own musl."""
    named = [*section.trials, section.floor]
    return {name: supply.bases[name, arch] for name in named if (name, arch) in supply.bases}


def _interpreters(
    matrix: Matrix, supply: Supply, arch: ArchitectureSection, libraries: Sequence[Library], selection: Selection
) -> tuple[Interpreter, ...]:
    there = [tag for tag, section in matrix.interpreters.items() if section.series in supply.archives]
    for tag in selection.interpreters:
        if tag not in there:
            raise FactoryError(
                f"source {supply.name!r} has no CPython {matrix.interpreters[tag].series} archive for {tag}",
                hint=f"it has those of {', '.join(there) or 'no interpreter'}",
            )
    asked = selection.interpreters or there
    return tuple(_interpreter(matrix, supply, arch, libraries, tag) for tag in matrix.interpreters if tag in asked)


def _interpreter(
    matrix: Matrix, supply: Supply, arch: ArchitectureSection, libraries: Sequence[Library], tag: str
) -> Interpreter:
    section = matrix.interpreters[tag]
    stacks = matrix.python.thread_stack
    linked = {lib.name: lib for lib in libraries if lib.serves(section.series)}
    configure = [*matrix.python.configure, *(matrix.python.free_threaded if section.free_threaded else ())]
    for name, library in matrix.libraries.items():
        configure += library.configure if name in linked else library.configure_without
    return Interpreter(
        tag=tag,
        series=section.series,
        free_threaded=section.free_threaded,
        archive=supply.archives[section.series],
        configure=tuple(configure),
        stack=_since(stacks, section.series, otherwise=stacks[min(stacks, key=ordinal)]),
        recursion=_since(arch.recursion, section.series, otherwise=matrix.python.recursion),
        modules=tuple(sorted(m for lib in linked.values() for m in lib.modules)),
    )


def _since(values: Mapping[str, int], series: str, *, otherwise: int) -> int:
    """The value of the newest series that is not newer; `otherwise` where all are."""
    found = sorted((ordinal(since), value) for since, value in values.items() if ordinal(since) <= ordinal(series))
    return found[-1][1] if found else otherwise


def _tool_host(matrix: Matrix, interpreters: Sequence[Interpreter]) -> Interpreter:
    for tag in matrix.tools.host:
        for interpreter in interpreters:
            if interpreter.tag == tag:
                return interpreter
    raise FactoryError(
        "no interpreter of the image can run its tools",
        hint=f"keep one of {', '.join(matrix.tools.host)} (tools.host in the matrix)",
    )
