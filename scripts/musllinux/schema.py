"""What matrix.yaml may hold, key by key. Values only; `matrix` reads the file, `model` turns it into images."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Release = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
Package = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+._-]*$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+[^/\s]$")]
PolicyName = Annotated[str, StringConstraints(pattern=r"^musllinux_\d+_\d+$")]
InterpreterName = Annotated[str, StringConstraints(pattern=r"^cp3\d+-cp3\d+t?$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:\d+)?$")]
Organisation = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ImageSection(Section):
    registry: Host
    organisation: Organisation
    source: Url
    licence: str


class PolicySection(Section):
    alpine: Release
    floor: Version
    time_t_32: Literal[32, 64]
    trials: list[Release] = Field(min_length=1)
    without: list[Package]


class ArchitectureSection(Section):
    apk: Name
    platform: Annotated[str, StringConstraints(pattern=r"^linux/[a-z0-9]+(/v\d)?$")]
    triple: Name
    loader: Name
    rust: Name
    bits: Literal[32, 64]
    endian: Literal["little", "big"]
    uname: list[Name] = Field(min_length=1)
    entry: list[Name]
    march: list[Annotated[str, StringConstraints(pattern=r"^-m\S+$")]]
    qemu: Name


class InterpreterSection(Section):
    series: Release
    free_threaded: bool = False


class LibrarySection(Section):
    build: Package
    run: Package | None
    modules: list[Name] = Field(min_length=1)
    since: Release | None = None


class PackagesSection(Section):
    system: list[Package]
    sysroot: list[Package]
    native: list[Package]


class ToolSection(Section):
    commands: list[Name]
    without: list[str] = []
    project: Name | None = None


class ToolsSection(Section):
    interpreter: list[Name]
    host: list[InterpreterName] = Field(min_length=1)
    isolated: dict[Name, ToolSection]


class UpstreamSection(Section):
    mirror: Url
    python: Url
    base: Annotated[str, StringConstraints(pattern=r"^\S*\{alpine\}\S*$")]
    publishable: bool


class StandinSection(Section):
    publishable: bool


class SourcesSection(Section):
    upstream: UpstreamSection
    standin: StandinSection


class Matrix(Section):
    """The whole of matrix.yaml, format 1."""

    format: Literal[1]
    image: ImageSection
    policies: dict[PolicyName, PolicySection] = Field(min_length=1)
    architectures: dict[Name, ArchitectureSection] = Field(min_length=1)
    interpreters: dict[InterpreterName, InterpreterSection] = Field(min_length=1)
    libraries: dict[Name, LibrarySection]
    packages: PackagesSection
    tools: ToolsSection
    sources: SourcesSection
