"""Downloads the newest musllinux wheels of the listed projects with pip, as pip is configured here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_NONE = "No matching distribution found"


class FetchError(Exception):
    """pip failed for another reason than there being no such wheel."""


@dataclass(frozen=True)
class Wanted:
    """One project's newest wheel for one architecture."""

    project: str
    pin: str  # "==1.2.3", or "" for the newest
    arch: str

    def folder(self, cache: Path) -> Path:
        return cache / self.arch / self.project


def projects() -> dict[str, Any]:
    listed: dict[str, Any] = json.loads((HERE / "projects.json").read_text(encoding="utf-8"))
    return listed


def wanted() -> Iterator[Wanted]:
    listed = projects()
    for arch in listed["arches"]:
        for project, pin in listed["projects"].items():
            yield Wanted(project, pin, arch)


def fetch(cache: Path, workers: int = 2) -> None:
    """Downloads what is not in `cache` yet, into ARCH/PROJECT. Raises FetchError."""
    with ThreadPoolExecutor(workers) as pool:
        for one, found in zip(wanted(), pool.map(lambda each: _fetch(each, cache), wanted()), strict=True):
            print(f"{one.arch:8} {one.project:22} {found}", flush=True)


def _fetch(one: Wanted, cache: Path) -> str:
    folder = one.folder(cache)
    if folder.is_dir():
        return "is there"
    listed = projects()
    platforms = [f"--platform={policy}_{one.arch}" for policy in listed["policies"]]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--only-binary=:all:", f"--python-version={listed['python']}", "--implementation=cp"),
        *(*platforms, f"--dest={folder}.part", one.project + one.pin),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and _NONE not in done.stderr:
        raise FetchError(f"{' '.join(command)}\n{done.stderr}")
    part = folder.with_name(folder.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    for wheel in part.glob("*-any.whl"):  # what pip takes where there is no wheel for the platform
        wheel.unlink()
    part.rename(folder)
    return ", ".join(wheel.name for wheel in folder.glob("*.whl")) or "none"
