"""Wheels from PyPI through pip and its own configuration, checked by the SHA-256 that the recipe pins."""

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from standin.cache import Cache, digest_of, write_atomically
from standin.errors import StandinError
from standin.process import run

_LAYOUT = 1  # bump when what lies under a product's folder changes
_EXECUTABLE = 0o111


def wheel(
    cache: Cache,
    report: Callable[[str], None],
    requirement: str,
    *,
    sha256: str | None,
    platform: str | None = None,
    python: str | None = None,
) -> Path:
    """The unpacked tree of one wheel.

    `requirement` is `name==version`, `sha256` the wheel file's sum (hex), `platform` pip's --platform tag and
    `python` a CPython version such as "3.11", both for wheels that pip would not choose for itself.
    Raises StandinError if the file is not there, is not the pinned one, or pip is missing.
    """
    if not sha256:
        raise StandinError(f"the wheel {requirement} is not pinned", hint="give its SHA-256 in the recipe")
    key = f"wheel-{digest_of([_LAYOUT, requirement, sha256])[:40]}"

    def build(folder: Path) -> None:
        report(f"downloading the wheel {requirement}")
        with cache.scratch(f"{key}-download") as scratch:
            _unpack(_download(requirement, sha256, _narrowing(platform, python), scratch), folder / "tree")

    return cache.product(key, build) / "tree"


def _narrowing(platform: str | None, python: str | None) -> list[str]:
    words = ["--platform", platform] if platform else []
    if python:
        words += [
            "--implementation",
            "cp",
            "--python-version",
            python,
            "--abi",
            f"cp{python.replace('.', '')}",
        ]
    return words


def _download(requirement: str, sha256: str, narrowing: list[str], folder: Path) -> Path:
    pinned = folder / "requirements.txt"
    write_atomically(pinned, f"{requirement} --hash=sha256:{sha256}\n".encode())
    base = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(folder)]
    try:
        run([*base, *options, *narrowing, "-r", str(pinned)])
    except StandinError as error:
        raise StandinError(f"{requirement} cannot be had from PyPI: {error.message}", hint=_hint(error)) from error
    [path] = folder.glob("*.whl")
    return path


def _hint(error: StandinError) -> str:
    if "No module named pip" in error.message:
        return f"install pip for {sys.executable}"
    if "DO NOT MATCH" in error.message:
        return "the file on the index is not the pinned one: do not use it before you know why"
    return "check the network and pip's own configuration (`pip config list`)"


def _unpack(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            out = Path(archive.extract(member, folder))
            if member.external_attr >> 16 & _EXECUTABLE and out.is_file():
                out.chmod(0o755)
