"""The container engine: which docker command can build, the API connection, what an image says of itself."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musllinux.errors import FactoryError

if TYPE_CHECKING:
    import docker

OLDEST_ENGINE = (20, 10)  # BuildKit 0.8, the floor of the rendered Dockerfiles
OLDEST_CLIENT = (18, 9)  # the first docker command with DOCKER_BUILDKIT=1
BUILDX_ONLY = (23, 0)  # from here on `docker build` reaches BuildKit through the buildx plugin alone
ATTESTING = (0, 10)  # buildx: adds provenance by itself, which turns a plain image into an index
_ASK_SECONDS = 20
_VERSION = re.compile(r"(\d+)\.(\d+)")


class EngineError(FactoryError):
    """No engine, not this user's, too old, or without BuildKit. The hint says what to do."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """A docker command that can build with BuildKit, and why this one."""

    path: Path
    version: str
    buildx: str  # version of the plugin, or empty: `docker build` with DOCKER_BUILDKIT=1
    reason: str

    @property
    def env(self) -> dict[str, str]:
        """Variables for every call of this client."""
        return {} if self.buildx else {"DOCKER_BUILDKIT": "1"}

    def build_argv(
        self,
        *,
        context: Path,
        dockerfile: Path,
        tag: str,
        platform: str,
        target: str = "",
        args: Mapping[str, str] | None = None,
        secrets: Mapping[str, Path] | None = None,
        labels: Mapping[str, str] | None = None,
        hosts: Sequence[str] = (),
        network: str = "",
        builder: str = "",
        iidfile: Path | None = None,
        no_cache: bool = False,
        extra: Sequence[str] = (),
    ) -> list[str]:
        """The command that builds `context` for `platform` and leaves the image in the engine as `tag`.

        secrets: secret id -> file. hosts: `name:address` for /etc/hosts. iidfile: gets the image's id.
        builder: a buildx builder. Progress is plain: `buildkit_log` reads it.
        Raises EngineError when a builder is asked for and there is no buildx.
        """
        return [
            *self._front(builder),
            "--progress=plain",
            f"--platform={platform}",
            *_pairs("build-arg", args),
            *(f"--secret=id={name},src={path}" for name, path in sorted((secrets or {}).items())),
            *_pairs("label", labels),
            *(f"--add-host={host}" for host in hosts),
            *([f"--target={target}"] if target else []),
            *([f"--network={network}"] if network else []),
            *([f"--iidfile={iidfile}"] if iidfile else []),
            *(["--no-cache"] if no_cache else []),
            *extra,
            f"--file={dockerfile}",
            *([f"--tag={tag}"] if tag else []),
            str(context),
        ]

    def _front(self, builder: str) -> list[str]:
        if self.buildx:
            plain = ["--provenance=false"] if _version(self.buildx) >= ATTESTING else []
            named = [f"--builder={builder}"] if builder else []
            return [str(self.path), "buildx", "build", *named, "--load", *plain]
        if builder:
            raise EngineError(f"--builder {builder} needs buildx, which {self.path} lacks", hint=_GET_BUILDX)
        return [str(self.path), "build"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A `docker` found on PATH, usable or not."""

    path: Path
    version: str  # empty: did not say
    buildx: str
    verdict: str  # why it can or cannot build

    @property
    def usable(self) -> bool:
        return bool(self.buildx) or OLDEST_CLIENT <= _version(self.version) < BUILDX_ONLY


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What the engine says of a local image. `size` is in bytes."""

    id: str  # sha256:…, of the image's configuration
    platform: str  # linux/arm/v7: os/architecture and, where the image states one, /variant
    labels: Mapping[str, str]
    size: int
    env: Mapping[str, str] = field(default_factory=dict)
    digests: tuple[str, ...] = ()  # repository@sha256:…, of the manifests it was pushed or pulled as

    def is_for(self, platform: str) -> bool:
        """Whether cibuildwheel takes it for `platform`: it compares the variant only where it asks for one.

        cibuildwheel/oci_container.py, `docker image inspect --format`.
        """
        return self.platform.split("/")[: len(platform.split("/"))] == platform.split("/")


# What containerd's platforms.Only takes besides a platform itself (containerd, platforms/compare.go)
_TAKEN_TOO = {"amd64": ("386",), "arm64": ("arm",)}
_GET_BUILDX = "install the buildx plugin (Debian: docker-buildx, Docker's own packages: docker-buildx-plugin)"


def find_client(path: str | None = None) -> Client:
    """The docker command to build with: the first on PATH with buildx, else the first with its own BuildKit.

    Clients from 23 on refuse BuildKit without the buildx plugin: an older one further down PATH is better.
    Raises EngineError that names every docker found and why it does not do.
    """
    found = candidates(path)
    usable = sorted((c for c in found if c.usable), key=lambda c: not c.buildx)
    if usable:
        best = usable[0]
        return Client(path=best.path, version=best.version, buildx=best.buildx, reason=best.verdict)
    if not found:
        raise EngineError("no docker command on PATH", hint="`make setup` installs one; Debian's package is docker.io")
    seen = "; ".join(f"{c.path}: {c.verdict}" for c in found)
    raise EngineError(f"no docker command that can use BuildKit ({seen})", hint=_GET_BUILDX)


def candidates(path: str | None = None) -> list[Candidate]:
    """Every docker command on `path` (a PATH value; this process's own by default), each file once."""
    found: dict[Path, Path] = {}
    for folder in (path if path is not None else os.environ.get("PATH", os.defpath)).split(os.pathsep):
        program = Path(folder or ".") / "docker"
        if program.is_file() and os.access(program, os.X_OK):
            found.setdefault(program.resolve(), program)
    return [_examine(program) for program in found.values()]


def connect(timeout: int = 60) -> "docker.DockerClient":
    """The engine the docker command would use: DOCKER_HOST, else the current context, else the local socket.

    timeout: seconds for one answer. Raises EngineError where there is none, or none that will do.
    """
    import docker  # noqa: PLC0415 - 0.2 s, and most verbs need no engine
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        client = _open(timeout)
        version = client.version()
    except (DockerException, OSError) as error:
        raise _unreachable(error) from error
    assert isinstance(client, docker.DockerClient)  # noqa: S101
    try:
        _check(version)
    except EngineError:
        client.close()
        raise
    return client


@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """What a build must know of the engine: its platform (linux/amd64), and whether this machine's loopback is its."""

    platform: str
    here: bool


def whereabouts() -> Whereabouts:
    """Of the engine that `connect` finds. Raises EngineError."""
    with closing(connect()) as client, asking("where it is"):
        version, info = client.version(), client.info()
    local = os.environ.get("DOCKER_HOST", "unix:").startswith("unix:")
    # another name: in a virtual machine; rootless: in a network of its own
    apart = info.get("Name") != socket.gethostname() or "name=rootless" in (info.get("SecurityOptions") or ())
    return Whereabouts(platform=f"{version.get('Os', 'linux')}/{version.get('Arch', '')}", here=local and not apart)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Inside, an engine that fails or goes away is an EngineError about `what`. "Not found" passes through."""
    from docker.errors import DockerException, NotFound  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415 - the SDK lets these through

    try:
        yield
    except NotFound:
        raise
    except (DockerException, RequestException) as error:
        if any(isinstance(cause, ConnectionError) for cause in _chain(error)):
            raise _unreachable(error) from error
        said = getattr(error, "explanation", None) or str(error)
        raise EngineError(
            f"the container engine fails, asked {what}: {said}", hint="`musllinux doctor` looks closer"
        ) from error


def image_facts(reference: str, client: "docker.DockerClient | None" = None) -> ImageFacts | None:
    """What the engine says of `reference`, or None where it has no such image."""
    if client is None:
        with closing(connect()) as own:
            return image_facts(reference, own)
    from docker.errors import ImageNotFound  # noqa: PLC0415

    try:
        with asking(f"about {reference}"):
            attrs = client.images.get(reference).attrs
    except ImageNotFound:
        return None
    config = attrs.get("Config") or {}
    parts = [attrs["Os"], attrs["Architecture"], attrs.get("Variant")]
    return ImageFacts(
        id=attrs["Id"],
        platform="/".join(part for part in parts if part),
        labels=dict(config.get("Labels") or {}),
        size=int(attrs["Size"]),
        env=dict(entry.partition("=")[::2] for entry in config.get("Env") or []),
        digests=tuple(attrs.get("RepoDigests") or ()),
    )


def forget_foreign(reference: str) -> None:
    """Take their names from images of this repository that BuildKit would take for the engine's own platform's.

    BuildKit in the engine (moby 20.10, builder-next's containerimage) asks the registry for a base's digest, then looks
    here for that digest or tag under the repository's name, and for nothing else (resolveLocal, ReferenceStore.Get);
    what it finds it takes where platformMatches says so, which lets in what _TAKEN_TOO says: what the smoke tests of
    i686 have pulled by the same tag. Without a name BuildKit asks the registry, by platform. Names that users gave such
    an image in other repositories stay, which is said on standard error.
    Raises EngineError where a running container still uses it: whoever runs that would pull it again.
    """
    from docker.errors import NotFound  # noqa: PLC0415

    system, _, own = whereabouts().platform.partition("/")
    repository = _familiar(reference)
    with _forgetting, closing(connect()) as client, asking(f"about images of {repository}"):
        api: Any = client.api  # of docker-py's annotations some are missing
        for row in api.images(name=repository):
            with suppress(NotFound):  # another run has let go of it since
                attrs = api.inspect_image(row["Id"])
                if attrs["Architecture"] in _TAKEN_TOO.get(own, ()):
                    _unname(api, attrs, repository, f"{system}/{attrs['Architecture']}")


_forgetting = threading.Lock()  # builds at once have one base: the second finds done what it would do


def _unname(api: Any, attrs: Mapping[str, Any], repository: str, platform: str) -> None:
    """Remove an image's names in a repository, and the image with its last name. A 404 passes through."""
    from docker.errors import NotFound  # noqa: PLC0415

    users = api.containers(filters={"ancestor": attrs["Id"]})
    if users:
        raise EngineError(
            f"{repository} is here for {platform} and in use: container {users[0]['Id'][:12]}",
            hint=f"a smoke test may be running: wait for it; else remove that container and {attrs['Id']}",
        )
    names = [*(attrs.get("RepoTags") or ()), *(attrs.get("RepoDigests") or ())]
    for name in names:
        if _familiar(name) == repository:
            with suppress(NotFound):  # digests go with the repository's last tag
                api.remove_image(name, force=True)  # also from under containers that have ended
    others = [name for name in names if _familiar(name) != repository]
    if others:
        sys.stderr.write(
            f"[engine] {repository} for {platform} stays under its other names: {', '.join(others)}; "
            f"`docker image rm {' '.join(others)}` removes it\n"
        )


def _familiar(reference: str) -> str:
    """The repository of a reference as the engine lists it: without tag and digest, and without Docker Hub's host.

    docker.io/library/alpine:3.22 is alpine there (distribution/reference, familiarizeName).
    """
    repository = reference.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    return repository.removeprefix("docker.io/").removeprefix("library/")


def _pairs(option: str, values: Mapping[str, str] | None) -> list[str]:
    return [f"--{option}={name}={value}" for name, value in sorted((values or {}).items())]


def _version(text: str) -> tuple[int, int]:
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _examine(program: Path) -> Candidate:
    version = _said(program, "--version", pattern=r"^Docker version ([\w.+~-]+)")
    buildx = _said(program, "buildx", "version", pattern=r"\bv?(\d+\.\d+\S*)") if version else ""
    return Candidate(path=program, version=version, buildx=buildx, verdict=_verdict(version, buildx))


def _verdict(version: str, buildx: str) -> str:
    if not version:
        return "is not Docker's command line"
    if buildx:
        return f"Docker {version} with buildx {buildx}"
    if _version(version) >= BUILDX_ONLY:
        return f"Docker {version} without buildx, which it needs for BuildKit"
    if _version(version) < OLDEST_CLIENT:
        return f"Docker {version}, too old for BuildKit"
    return f"Docker {version}, whose own BuildKit client works (DOCKER_BUILDKIT=1)"


def _said(program: Path, *args: str, pattern: str) -> str:
    """The part of the program's first matching line, or empty: wrong program, no such plugin, hanging."""
    try:
        done = subprocess.run(
            [program, *args],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASK_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(pattern, done.stdout, re.MULTILINE)
    return match[1].rstrip(",") if match and done.returncode == 0 else ""


def _open(timeout: int) -> "docker.DockerClient":
    import docker  # noqa: PLC0415
    from docker.context import ContextAPI  # noqa: PLC0415

    if os.environ.get("DOCKER_HOST"):
        return docker.from_env(timeout=timeout)
    context = ContextAPI.get_current_context()
    if context is None or context.Name == "default":
        return docker.from_env(timeout=timeout)
    return docker.DockerClient(base_url=context.Host, tls=context.TLSConfig or False, timeout=timeout)


def _check(version: Mapping[str, object]) -> None:
    said = str(version.get("Version", ""))
    components = version.get("Components") or []
    names = (
        [str(c.get("Name", "")) for c in components if isinstance(c, Mapping)] if isinstance(components, list) else []
    )
    if any("podman" in name.lower() for name in names):
        raise EngineError("the engine is Podman, which has no BuildKit", hint="install Docker's engine (docker.io)")
    if version.get("Os", "linux") != "linux":
        raise EngineError(f"the engine runs {version['Os']} containers", hint="switch it to Linux containers")
    if _version(said) < OLDEST_ENGINE:
        raise EngineError(
            f"the engine is Docker {said or 'of unknown version'}, without the BuildKit this needs",
            hint="Docker 20.10 or newer (Debian 11's docker.io has it)",
        )


def _unreachable(error: BaseException) -> EngineError:
    where = os.environ.get("DOCKER_HOST") or "/var/run/docker.sock"
    causes = list(_chain(error))
    if any(isinstance(c, PermissionError) for c in causes):
        return EngineError(
            f"this user may not use the container engine at {where}",
            hint="run as root, or join the group: `usermod -aG docker $USER`, then log in again",
        )
    if any(isinstance(c, FileNotFoundError | ConnectionRefusedError) for c in causes):
        return EngineError(
            f"no container engine answers at {where}",
            hint="`make setup` installs and starts one; else `service docker start`, or set DOCKER_HOST",
        )
    if any(isinstance(c, ConnectionError) for c in causes):
        return EngineError(
            f"the container engine at {where} went away in the middle of an answer",
            hint="start it again (`make setup`); its own log says why it ended",
        )
    return EngineError(
        f"the container engine at {where} does not answer: {error}", hint="`musllinux doctor` looks closer"
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, BaseException) and current not in found:
            found.append(current)
            pending += [current.__cause__, current.__context__, *current.args]
    return found
