"""What `build --prepare` leaves for `docker buildx bake`: an image's target as `build` orders it, and its secrets.

`list --format bake` makes one file of the targets that are laid out. Nothing here needs the engine or a source.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from musllinux.record import write_json

FORMAT = 1
TARGET = "target.json"  # written last: where it is, everything that it names is there
SECRETS = ".secrets"  # a folder beside it, a file each; mirrors and proxies may hold passwords


@dataclass(frozen=True, kw_only=True)
class Target:
    """What BuildKit is told of an image besides its context, its Dockerfile and the contents of its secrets.

    platform: linux/arm/v7. args: build arguments. network: the mode of the build's steps; empty: BuildKit's own.
    """

    tag: str
    platform: str
    args: Mapping[str, str]
    labels: Mapping[str, str]
    network: str


def lay_out(place: Path, target: Target, secrets: Mapping[str, bytes]) -> None:
    """Leave a target and its secrets (by id; files of mode 0600) in an image's folder, build/<id>/."""
    withdraw(place)
    (place / SECRETS).mkdir(mode=0o700)
    for name, content in secrets.items():
        _write_private(place / SECRETS / name, content)
    write_json(place / TARGET, {"format": FORMAT, **asdict(target), "secrets": sorted(secrets)})


def withdraw(place: Path) -> None:
    """Take back what `lay_out` has left: context and Dockerfile beside it are about to become another build's."""
    (place / TARGET).unlink(missing_ok=True)
    shutil.rmtree(place / SECRETS, ignore_errors=True)


def read(work: Path, image_id: str) -> dict[str, Any] | None:
    """A laid-out image's target for a bake file that is used in the repository; None where it is not laid out.

    Keys: https://docs.docker.com/build/bake/reference/. `dockerfile` is relative to the context. `network` (buildx 0.17
    and newer know it, older ones refuse it) is there only where it is needed.
    """
    try:
        said = json.loads((work / image_id / TARGET).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        return None
    here = f"{work.name}/{image_id}"
    target = {
        "context": f"{here}/context",
        "dockerfile": "../Dockerfile",
        "platforms": [said["platform"]],
        "args": said["args"],
        "secret": [f"id={name},src={here}/{SECRETS}/{name}" for name in said["secrets"]],
        "tags": [said["tag"]],
        "labels": said["labels"],
    }
    return {**target, "network": said["network"]} if said["network"] else target


def _write_private(path: Path, content: bytes) -> None:
    """A file that nobody but this user can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
