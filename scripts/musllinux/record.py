"""What is known of a built image: build/<id>/build.json, written by build, read by smoke, push and report."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """One build. `fingerprint` covers every input; `image` is the engine's id (sha256:…); `created` is ISO 8601."""

    format: int
    id: str
    image: str
    fingerprint: str
    source: str  # upstream or standin
    base: str
    created: str
    seconds: float
    interpreters: tuple[str, ...]
    lacking: tuple[str, ...]
    packages: tuple[str, ...]  # what apk really installed: name-version
    steps: Mapping[str, float]  # seconds by step; cached steps are absent
    size: int  # bytes, uncompressed
    # name-version by stage whose packages the image has no database of (Rust's too): what the index that decided the
    # build had for them, which apk reads again itself. Empty in records of before, and where no index was read.
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def path(work: Path, image_id: str) -> Path:
    return work / image_id / "build.json"


def read(work: Path, image_id: str) -> BuildRecord | None:
    """The record, or None where there is none, or a damaged or an other one: then the image is built again."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - slow to import

    try:
        found = TypeAdapter(BuildRecord).validate_json(path(work, image_id).read_bytes())
    except (OSError, ValidationError):
        return None
    return found if found.format == FORMAT else None


def write(work: Path, record: BuildRecord) -> None:
    write_json(path(work, record.id), asdict(record))


def write_json(place: Path, value: object) -> None:
    """Write whole or not at all: readers see the old file or the new one."""
    write_bytes(place, (json.dumps(value, indent=1) + "\n").encode())


def write_bytes(place: Path, content: bytes) -> None:
    """As `write_json`, of any content."""
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{place.name}-", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
