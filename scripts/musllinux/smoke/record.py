"""build/<id>/smoke.json, format 1: what was found out of which image, when and where. `report` reads it."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

import muslabi
from musllinux.model import Image
from musllinux.record import write_json

Status = Literal["ok", "failed", "left-out"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckResult(Section):
    name: str
    group: str
    subject: str = ""  # what of the image it is about, where a check is made of several: "cp39-cp39"
    status: Status
    seconds: float
    detail: str = ""  # what was seen (ok), or what went wrong (failed; several lines)
    reason: str = ""  # why it was left out

    @property
    def title(self) -> str:
        return f"{self.subject}: {self.name}" if self.subject else self.name

    @property
    def text(self) -> str:
        return self.detail or self.reason


class Machine(Section):
    cpus: int
    system: str  # Linux 6.1.0 x86_64
    engine: str  # Docker 20.10.24
    emulated: bool  # whether the image's programs ran under qemu-user


class SmokeRecord(Section):
    """Times are UTC, ISO 8601; durations in seconds."""

    format: Literal[1] = 1
    id: str
    image: str  # the engine's id, sha256:…
    suite: str  # the version of the checks themselves, of their samples, and of what they were run with
    source: str  # upstream or standin
    started: str
    seconds: float
    machine: Machine
    interpreters: tuple[str, ...]
    checks: tuple[CheckResult, ...]

    def count(self, status: Status) -> int:
        return sum(one.status == status for one in self.checks)

    @property
    def green(self) -> bool:
        return bool(self.checks) and not self.count("failed")


def path(work: Path, image_id: str) -> Path:
    return work / image_id / "smoke.json"


def read(work: Path, image_id: str) -> SmokeRecord | None:
    """The record, or None where there is none, or it is of another format: then the image is tried again."""
    try:
        return SmokeRecord.model_validate_json(path(work, image_id).read_bytes())
    except (OSError, ValidationError):
        return None


def write(work: Path, record: SmokeRecord) -> None:
    write_json(path(work, record.id), record.model_dump())


def suite(image: Image, root: Path) -> str:
    """Changes whenever a result could: checks, probes, samples, the audit, the trial bases, what is asked for."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for folder in (here, root / "tests" / "wheels", Path(muslabi.__file__).parent):
        for file in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    asked = [image.arch, image.rust, *image.interpreters, *sorted(image.trials.items()), *image.libraries, *image.tools]
    digest.update(repr(asked).encode())
    return digest.hexdigest()[:16]
