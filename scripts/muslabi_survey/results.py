"""The recorded results of a survey: what muslabi said of each wheel, in results.json."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import muslabi
from muslabi.findings import INFO, Finding
from muslabi_survey.fetch import HERE, Wanted, wanted

RESULTS = HERE / "results.json"


@dataclass(frozen=True)
class Said:
    """A finding, told once for all files of the wheel that it is about."""

    code: str
    severity: str
    message: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What was said of one wheel."""

    project: str
    arch: str
    wheel: str
    sha256: str
    size: int
    verdict: str
    needs_musl: str | None
    breaks_on: tuple[str, ...]
    time_abi: tuple[str, ...]
    retag: bool
    findings: tuple[Said, ...]


@dataclass(frozen=True)
class Survey:
    """A whole run, and when it was."""

    day: str
    muslabi: str
    results: tuple[Result, ...]


def _said(findings: tuple[Finding, ...]) -> tuple[Said, ...]:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in findings:
        if one.severity != INFO:
            groups.setdefault((one.code, one.severity, one.message), []).append(one.file)
    return tuple(Said(*key, tuple(files)) for key, files in groups.items())


def _audit(one: Wanted, wheel: Path, today: date) -> Result:
    report = muslabi.audit_wheel(wheel, muslabi.Terms(today=today, standin=False))
    data = wheel.read_bytes()
    return Result(
        project=one.project,
        arch=one.arch,
        wheel=wheel.name,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        verdict=report.verdict,
        needs_musl=report.needs_musl,
        breaks_on=report.breaks_on,
        time_abi=tuple(sorted({file.time_abi for file in report.files if file.time_abi})),
        retag=any(finding.code == "retag" for finding in report.findings),
        findings=_said(report.findings),
    )


def survey(cache: Path, today: date) -> Survey:
    """Audits every wheel that `fetch` put into `cache`. Raises muslabi's errors for one that is unreadable."""
    results = [_audit(one, wheel, today) for one in wanted() for wheel in sorted(one.folder(cache).glob("*.whl"))]
    return Survey(today.isoformat(), muslabi.__version__, tuple(results))


def store(run: Survey) -> None:
    lines = ",\n".join(" " + json.dumps(asdict(one)) for one in run.results)
    text = f'{{\n"day": "{run.day}",\n"muslabi": "{run.muslabi}",\n"results": [\n{lines}\n]\n}}\n'
    temporary = RESULTS.with_name(f".results.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(RESULTS)


def load() -> Survey:
    raw = json.loads(RESULTS.read_text(encoding="utf-8"))
    return Survey(raw["day"], raw["muslabi"], tuple(_result(one) for one in raw["results"]))


def _result(raw: dict[str, Any]) -> Result:
    said = tuple(Said(**{**one, "files": tuple(one["files"])}) for one in raw["findings"])
    lists = {key: tuple(raw[key]) for key in ("breaks_on", "time_abi")}
    return Result(**{**raw, **lists, "findings": said})
