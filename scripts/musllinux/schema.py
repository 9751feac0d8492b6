"""What matrix.yaml may hold, key by key; `matrix` reads the file, `model` turns it into images."""

import re
from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


def form(pattern: str, like: str, also: Callable[[str], bool] = lambda _: True) -> AfterValidator:
    """Text of a form; `like` is what a message says would be allowed."""
    matches: Callable[[str], object] = re.compile(pattern, re.ASCII).fullmatch

    def check(text: str) -> str:
        if not (matches(text) and also(text)):
            raise PydanticCustomError("form", "allowed: {like}", {"like": like})
        return text

    return AfterValidator(check)


def _has_host(url: str) -> bool:
    """Whether a URL has a host and a port that can be. Unescaped, a `/` or `?` of a password would end the host."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _names_host(reference: str) -> bool:
    return _has_host(f"https://{reference}")


Release = Annotated[str, form(r"\d+\.\d+", 'a series of two numbers such as "3.22"')]
Version = Annotated[str, form(r"\d+\.\d+\.\d+", "a version of three numbers such as 1.2.5")]
Package = Annotated[str, form(r"[a-z0-9][a-z0-9+._-]*", "an apk package name such as zlib-dev")]
Name = Annotated[str, form(r"[A-Za-z_][A-Za-z0-9_.-]*", "a name of letters, digits, `_`, `.` and `-`")]
Url = Annotated[
    str,
    form(
        r"https?://[^\s\"<>\\^`{|}]*[^\s\"<>\\^`{|}/]",
        "an http(s):// URL without a `/` at its end, a password's special characters percent-encoded",
        _has_host,
    ),
]
PolicyName = Annotated[str, form(r"musllinux_\d+_\d+", "a PEP 656 policy such as musllinux_1_2")]
InterpreterName = Annotated[str, form(r"cp3\d+-cp3\d+t?", "<python tag>-<abi tag> such as cp314-cp314t")]
Argument = Annotated[str, form(r"--[a-z0-9][A-Za-z0-9=:,._/-]*", "an argument for configure: --with-lto")]
Host = Annotated[str, form(r"[A-Za-z0-9.-]+(:\d+)?", "a host name, with a port where needed", _names_host)]
Organisation = Annotated[str, form(r"[a-z0-9]+([._/-][a-z0-9]+)*", "a repository path in lower case")]
Platform = Annotated[str, form(r"linux/[a-z0-9]+(/v\d)?", "a Docker platform such as linux/arm/v7")]
MachineFlag = Annotated[str, form(r"-m[A-Za-z0-9=+._-]+", "a machine flag of gcc such as -march=z10")]
BaseReference = Annotated[
    str, form(r"[A-Za-z0-9./:_-]*\{alpine\}[A-Za-z0-9._-]*", "an image reference with {alpine} in it", _names_host)
]
Requirement = Annotated[
    str, form(r"[A-Za-z0-9][A-Za-z0-9._-]*(\s*[<>=!~]=?\s*[0-9][A-Za-z0-9.*+!]*,?)*", "a requirement such as cmake<4.1")
]
RunnerName = Annotated[str, form(r"[a-z0-9][a-z0-9.-]*", "a label of a CI runner such as ubuntu-24.04-arm")]
Prefix = Annotated[str, form(r"(/[a-z][a-z0-9_-]*)+", "an absolute path such as /opt/rust")]
Variable = Annotated[str, form(r"[A-Z][A-Z0-9_]*", "a variable's name such as RUST_LIBC_TIME64")]
RustTarget = Annotated[str, form(r"\{(triple|rust)\}", '"{triple}" or "{rust}", which an architecture has')]
Levels = Annotated[int, Field(ge=1)]
QemuLack = Literal["nanoseconds of stat", "steady threads"]
Licence = Annotated[str, form(r"[A-Za-z0-9.+() -]+", "an SPDX expression such as MIT")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class ImageSection(Section):
    registry: Host
    organisation: Organisation
    source: Url
    licence: Licence


class ReleaseSection(Section):
    musl: Version


class PolicySection(Section):
    alpine: Release
    floor: Version
    time_t_32: Literal[32, 64]
    trials: list[Release] = Field(min_length=1)
    without: list[Package]


class ArchitectureSection(Section):
    apk: Name
    platform: Platform
    triple: Name
    loader: Name
    rust: Name
    bits: Literal[32, 64]
    endian: Literal["little", "big"]
    uname: list[Name] = Field(min_length=1)
    runs_on: list[Name] = []
    entry: list[Name]
    march: list[MachineFlag]
    qemu: Name
    qemu_since: Release | None = None
    qemu_lacks: list[QemuLack] = []
    recursion: dict[Release, Levels] = {}
    relative: Annotated[int, Field(ge=1)]
    runner: RunnerName = "ubuntu-24.04"


class InterpreterSection(Section):
    series: Release
    free_threaded: bool = False


class SignerSection(Section):
    """Who signs a series: the identity in the certificate, and who vouches for it (an OpenID Connect issuer)."""

    identity: Annotated[str, form(r"[^\s@]+@[^\s@]+", "an e-mail address")]
    issuer: Url


class PythonSection(Section):
    signers: dict[Release, SignerSection] = Field(default_factory=dict)
    thread_stack: dict[Release, Annotated[int, Field(ge=131072)]] = Field(min_length=1)
    recursion: Levels
    configure: list[Argument]
    free_threaded: list[Argument]


class LibrarySection(Section):
    build: Package
    run: Package | None
    modules: list[Name] = Field(min_length=1)
    since: Release | None = None
    until: Release | None = None
    configure: list[Argument] = []
    configure_without: list[Argument] = []


class PackagesSection(Section):
    system: list[Package]
    sysroot: list[Package]
    native: list[Package]


class Time64Section(Section):
    cfg: list[Name]
    env: Variable


class BackendSection(Section):
    without: list[Name] = []


class RustSection(Section):
    alpine: Release
    prefix: Prefix
    packages: list[Package] = Field(min_length=1)
    builder: list[Package] = Field(min_length=1)
    backends: dict[Package, BackendSection] = {}
    time64: Time64Section


class ToolSection(Section):
    commands: list[Name]
    without: list[Name] = []
    pins: dict[PolicyName, Requirement] = {}
    project: Name | None = None


class ToolsSection(Section):
    interpreter: list[Name]
    host: list[InterpreterName] = Field(min_length=1)
    isolated: dict[Name, ToolSection]


class UpstreamSection(Section):
    mirror: Url
    python: Url
    base: BaseReference
    rust: RustTarget
    crates: Url | None = None  # a sparse index of the crates that std needs; cargo's own default where none is named
    publishable: bool


class StandinSection(Section):
    rust: RustTarget
    publishable: bool
    without: dict[Name, str] = Field(default_factory=dict)


class SourcesSection(Section):
    upstream: UpstreamSection
    standin: StandinSection


class Matrix(Section):
    """The whole of matrix.yaml, format 1."""

    format: Literal[1]
    image: ImageSection
    releases: dict[Release, ReleaseSection]
    policies: dict[PolicyName, PolicySection] = Field(min_length=1)
    architectures: dict[Name, ArchitectureSection] = Field(min_length=1)
    interpreters: dict[InterpreterName, InterpreterSection] = Field(min_length=1)
    python: PythonSection
    libraries: dict[Name, LibrarySection]
    packages: PackagesSection
    rust: RustSection
    tools: ToolsSection
    sources: SourcesSection
