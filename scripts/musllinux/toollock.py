"""Python tools for images: pinned with hashes in lock/pylock.<name>.toml (PEP 751), selected per target.

The lock names files and their SHA-256, no index: wheels are fetched through the user's own pip configuration.
"""

import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Environment
from packaging.pylock import Package, PackageWheel, Pylock, PylockSelectError, PylockValidationError
from packaging.tags import Tag, compatible_tags, cpython_tags

from musllinux import certificates, pipsettings
from musllinux.errors import FactoryError
from musllinux.model import Image, Interpreter, ordinal
from musllinux.redact import hider
from musllinux.run import run

_RENEW = "`musllinux lock` renews it"
_SHA256 = re.compile(r"[0-9a-f]{64}")

INSTALLER = "installer"  # the library that installs wheels into foreign prefixes; used while building, not shipped


@dataclass(frozen=True, kw_only=True, order=True)
class Wheel:
    """One locked wheel: its project (normalised), version, file name and SHA-256 in hex."""

    project: str
    version: str
    file: str
    sha256: str


def lock_path(root: Path, name: str) -> Path:
    """Below the repository, or below an overlay's own locks, which are laid out alike."""
    return root / "lock" / f"pylock.{name}.toml"


def select(root: Path, name: str, image: Image, interpreter: Interpreter) -> list[Wheel]:
    """The wheels of lock/pylock.<name>.toml for an interpreter of an image, by PEP 508 markers and PEP 425 tags.

    Raises FactoryError where the lock is absent, broken, or has no wheel for the target.
    """
    path = lock_path(root, name)
    try:
        lock = Pylock.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        chosen = list(lock.select(environment=_environment(image, interpreter), tags=_tags(image, interpreter)))
    except FileNotFoundError as error:
        raise FactoryError(f"{path}: no such lock", hint="`musllinux lock` writes it") from error
    except (ValueError, RecursionError, PylockValidationError, PylockSelectError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise FactoryError(f"{path}: {said} (for {interpreter.tag} on {image.id})", hint=_RENEW) from error
    return sorted(_wheel(path, package, artifact) for package, artifact in chosen)


def _wheel(path: Path, package: Package, artifact: object) -> Wheel:
    file = Path(artifact.path or "").name if isinstance(artifact, PackageWheel) else ""
    sha256 = artifact.hashes.get("sha256", "") if isinstance(artifact, PackageWheel) else ""
    if not file.endswith(".whl") or not _SHA256.fullmatch(sha256):
        raise FactoryError(f"{path}: {package.name} is not locked as a wheel with its SHA-256", hint=_RENEW)
    return Wheel(project=package.name, version=str(package.version), file=file, sha256=sha256)


def _environment(image: Image, interpreter: Interpreter) -> Environment:
    return Environment(
        implementation_name="cpython",
        implementation_version=interpreter.version,
        os_name="posix",
        platform_machine=image.arch.uname[0],
        platform_python_implementation="CPython",
        platform_release="",
        platform_system="Linux",
        platform_version="",
        python_full_version=interpreter.version,
        python_version=interpreter.series,
        sys_platform="linux",
    )


def platforms(image: Image) -> list[str]:
    """Platform tags the image's interpreters accept, best first (PEP 656, packaging.tags)."""
    major, minor = image.policy.underscored.split("_")
    return [f"musllinux_{major}_{m}_{image.arch.name}" for m in range(int(minor), -1, -1)] + [
        f"linux_{image.arch.name}"
    ]


def _tags(image: Image, interpreter: Interpreter) -> list[Tag]:
    version = ordinal(interpreter.series)
    abi = interpreter.tag.split("-")[1]
    accepted = platforms(image)
    return [
        *cpython_tags(version, abis=[abi], platforms=accepted),
        *compatible_tags(version, interpreter=interpreter.tag.split("-")[0], platforms=accepted),
    ]


def resolve(root: Path, name: str, requirements: Sequence[str], oldest: str) -> str:
    """The text of lock/pylock.<name>.toml: `requirements` for every platform and every Python from `oldest` on.

    Uses uv, which resolves for all platforms at once (a development dependency), with the indexes that pip has here.
    Raises CommandError where it cannot.
    """
    env = pips_index()
    with tempfile.TemporaryDirectory(prefix="musllinux-lock-") as folder:
        fresh = Path(folder) / f"pylock.{name}.toml"
        argv = [_uv(), "pip", "compile", "--quiet", "--universal", f"--python-version={oldest}", "--only-binary=:all:"]
        argv += ["--format=pylock.toml", "--no-header", f"--output-file={fresh}", "-"]
        stdin = "\n".join(requirements).encode()
        run(argv, cwd=root, stdin=stdin, env=env, clean=hider(" ".join(env.values()).split()))
        text = re.sub(r'url = "[^"]*/([^"/]+)"', r'path = "\1"', fresh.read_text(encoding="utf-8"))
    return f"# Written by `musllinux lock`: {', '.join(requirements)}. Do not edit.\n{text}"


# uv's own variables of each kind: where the user has set one, uv is left to it. UV_INSECURE_HOST adds to the others.
_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def pips_index(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables with which uv, which reads neither pip.conf nor PIP_*, asks where pip would and trusts what it trusts.

    They may hold passwords: for a program's environment, never for its arguments.
    """
    pip = pipsettings.settings()
    found: dict[str, str] = {}
    if not any(environ.get(name) for name in _INDEXES):
        found |= {"UV_DEFAULT_INDEX": pip.get("index-url", ""), "UV_INDEX": pip.get("extra-index-url", "")}
    if not environ.get("UV_INSECURE_HOST"):
        found["UV_INSECURE_HOST"] = pip.get("trusted-host", "")
    if not any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES):
        found |= {"HTTP_PROXY": pip.get("proxy", ""), "HTTPS_PROXY": pip.get("proxy", "")}
    if not environ.get("SSL_CERT_FILE"):
        cert = pip.get("cert", "")
        found["SSL_CERT_FILE"] = cert if Path(cert).is_file() else str(certificates.bundle(environ) or "")
    return {name: " ".join(value.split()) for name, value in found.items() if value.strip()}


def versions(text: str) -> dict[str, str]:
    """The versions by project of a lock's text; where platforms differ, the newest first. Raises ValueError."""
    found: dict[str, list[str]] = {}
    for package in tomllib.loads(text).get("packages", ()):
        found.setdefault(package["name"], []).append(str(package.get("version", "")))
    return {name: ", ".join(sorted(set(each), reverse=True)) for name, each in sorted(found.items())}


def write(root: Path, name: str, text: str) -> None:
    """Replace lock/pylock.<name>.toml in one step."""
    path = lock_path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"pylock.new-{name}.toml")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _uv() -> str:
    """uv beside this Python (a development dependency, in the same virtual environment), else on PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else "uv"
