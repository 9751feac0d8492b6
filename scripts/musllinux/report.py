"""`musllinux report`: what was built, tried and pushed here, from the records in build/."""

import json
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musllinux import model, record, settings
from musllinux.console import seconds_text
from musllinux.errors import EXIT_OK
from musllinux.record import BuildRecord
from musllinux.smoke import record as smoke
from musllinux.smoke.record import SmokeRecord

HEAD = ("IMAGE", "SOURCE", "BUILT", "SIZE", "TRIED", "PUSHED")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of one image. A smoke record of an earlier build does not count."""

    id: str
    built: BuildRecord | None
    tried: SmokeRecord | None
    pushed: Mapping[str, Any] | None

    def row(self) -> tuple[str, ...]:
        if self.built is None:
            return (self.id, "", "not built", "", "", "")
        took = seconds_text(self.built.seconds)
        return (self.id, self.built.source, took, f"{self.built.size / 1e6:.0f} MB", self._tried(), self._pushed())

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "build": None if self.built is None else {**vars(self.built), "steps": dict(self.built.steps)},
            "smoke": None if self.tried is None else self.tried.model_dump(),
            "push": self.pushed,
        }

    def _tried(self) -> str:
        if self.tried is None:
            return "not tried"
        left_out = self.tried.count("left-out")
        suffix = f", {left_out} left out" if left_out else ""
        failed = self.tried.count("failed")
        return f"{failed} FAILED{suffix}" if failed else f"{self.tried.count('ok')} ok{suffix}"

    def _pushed(self) -> str:
        return str(self.pushed["reference"]) if self.pushed else ""


def command(args: Namespace) -> int:
    """`musllinux report`."""
    run = settings.from_args(args)
    pairs = model.select(run.matrix(), run.selection)
    entries = [entry(run.work, f"{policy}_{arch}") for policy, arch in pairs]
    if args.json:
        print(json.dumps({"format": 1, "images": [e.as_json() for e in entries]}, indent=1))
        return EXIT_OK
    shown = entries if run.selection != model.Selection() else [e for e in entries if e.built]
    print(table(shown) if shown else "nothing is built here yet: `musllinux build --smoke`")
    for line in complaints(shown):
        print(line)
    return EXIT_OK


def entry(work: Path, image_id: str) -> Entry:
    """The records of one image, as far as they belong to its last build."""
    built = record.read(work, image_id)
    tried = smoke.read(work, image_id)
    if built is None or tried is None or tried.image != built.image:
        tried = None
    pushed = _read_push(work / image_id / "push.json")
    if built is None or pushed is None or pushed["image"] != built.image:
        pushed = None
    return Entry(id=image_id, built=built, tried=tried, pushed=pushed)


def table(entries: Sequence[Entry]) -> str:
    """Aligned columns."""
    rows = [HEAD, *(e.row() for e in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def complaints(entries: Iterable[Entry]) -> list[str]:
    """Every failed check, a line each."""
    return [
        f"{e.id}: {check.name}: {(check.detail.splitlines() or ['failed'])[0]}"
        for e in entries
        if e.tried
        for check in e.tried.checks
        if check.status == "failed"
    ]


def _read_push(path: Path) -> Mapping[str, Any] | None:
    """push.json, or None where there is none or it is of another form."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    wanted = {"format", "id", "image", "reference", "digest"}
    return values if isinstance(values, dict) and wanted <= values.keys() and values["format"] == 1 else None
