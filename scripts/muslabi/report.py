"""The result of an audit, for people and for machines (data/report.schema.json)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from muslabi.findings import ERROR, WARNING, Finding, some

FORMAT = 1
PASS, WARN, FAIL, SKIP = "pass", "warn", "fail", "skip"
# Control characters, and those that turn the direction of text or have no width.
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\u1fff\u2070-\ud7ff\ue000-\ufefe\uff00-\ufffd]")
MOST_SHOWN = 40  # findings of one wheel in the text report; --json has them all
LONGEST_LINE = 2000  # characters of it: a name may have 64 thousand


@dataclass(frozen=True)
class FileReport:
    """One ELF file. `needs_musl` is None where no musl will do, or where it needs none."""

    name: str
    arch: str | None
    kind: str
    libc: str  # "musl", "glibc", "static-musl", "static-glibc" or "none"
    needs_musl: str | None
    because: tuple[str, ...]
    alpine: tuple[str, ...]  # releases it runs on
    time_abi: str | None  # None on 64-bit
    features: tuple[str, ...]
    libraries: tuple[tuple[str, str], ...]  # (name, version) of what tells its version
    grafted: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "arch": self.arch,
            "kind": self.kind,
            "libc": self.libc,
            "needs_musl": self.needs_musl,
            "because": list(self.because),
            "alpine": list(self.alpine),
            "time_abi": self.time_abi,
            "features": list(self.features),
            "libraries": [{"name": name, "version": version} for name, version in self.libraries],
            "grafted": self.grafted,
        }


@dataclass(frozen=True)
class WheelReport:
    """The audit of a wheel, a folder or a single file."""

    source: str
    kind: str
    policies: tuple[str, ...]
    promised_from: str  # "Alpine 3.13", "musl 1.2.3", or "" where nothing is promised
    needs_musl: str | None
    because: tuple[str, ...]
    runs_on: tuple[str, ...]  # Alpine releases, by version
    breaks_on: tuple[str, ...]
    files: tuple[FileReport, ...]
    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...]
    standin: bool
    skipped: bool = False

    @property
    def verdict(self) -> str:
        """ "fail" with an error, "warn" with a warning, "skip" if there was nothing to hold it to."""
        severities = {finding.severity for finding in self.findings}
        if ERROR in severities:
            return FAIL
        if WARNING in severities:
            return WARN
        return SKIP if self.skipped else PASS

    def as_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "kind": self.kind,
            "verdict": self.verdict,
            "standin": self.standin,
            "policies": list(self.policies),
            "promised_from": self.promised_from,
            "needs_musl": self.needs_musl,
            "because": list(self.because),
            "runs_on": list(self.runs_on),
            "breaks_on": list(self.breaks_on),
            "files": [one.as_dict() for one in self.files],
            "findings": [one.as_dict() for one in self.findings],
            "ignored": [one.as_dict() for one in self.ignored],
        }

    def to_json(self) -> str:
        """The report as one JSON document that data/report.schema.json describes."""
        return document([self], [])

    def to_text(self) -> str:
        """The verdict, its reasons and remedies, in lines."""
        return "\n".join(printable(_shortened(line)) for line in _lines(self))


def document(reports: list[WheelReport], failures: list[tuple[str, str]]) -> str:
    """All reports, and (source, reason) of what could not be read, as JSON text."""
    return json.dumps(
        {
            "format": FORMAT,
            "reports": [report.as_dict() for report in reports],
            "unreadable": [{"source": source, "reason": reason} for source, reason in failures],
        },
        indent=1,
    )


def _shortened(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..."


def printable(text: str) -> str:
    """`text` with everything escaped that could steer a terminal: names come from untrusted files."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _lines(report: WheelReport) -> list[str]:
    lines = [f"{report.verdict.upper():4}  {report.source}"]
    lines += [f"      {line}" for line in _summary(report)]
    # What is said of many files is said once, and each remedy once: a wheel may repeat one in fifty files.
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for finding in report.findings:
        key = (finding.severity, finding.message, finding.code, finding.remedy)
        groups.setdefault(key, []).append(finding.file)
    told: set[str] = set()
    for severity, message, code, remedy in list(groups)[:MOST_SHOWN]:
        files = tuple(file for file in groups[severity, message, code, remedy] if file)
        where = f"{some(files, 4)}: " if files else ""
        lines.append(f"  {severity}: {where}{message} [{code}]")
        if remedy and remedy not in told:
            told.add(remedy)
            lines.append(f"      remedy: {remedy}")
    if len(groups) > MOST_SHOWN:
        lines.append(f"  ... and {len(groups) - MOST_SHOWN} more findings (all with --json)")
    if report.ignored:
        lines.append(f"  findings ignored, as asked: {len(report.ignored)}")
    return lines


def _summary(report: WheelReport) -> list[str]:
    if not report.files:
        return []
    lines = []
    if report.needs_musl:
        shown = f" for {', '.join(report.because[:4])}" if report.because else ""
        lines.append(f"needs musl {report.needs_musl} or newer{shown}")
    elif any(one.libc in ("musl", "glibc") for one in report.files):
        lines.append("runs on no musl release")
    else:
        lines.append("needs no libc: statically linked")
    if report.promised_from:
        policy = f"{', '.join(report.policies)}: " if report.policies else ""
        lines.append(f"{policy}must run from {report.promised_from} on")
    abis = sorted({one.time_abi for one in report.files if one.time_abi})
    if abis:
        lines.append(f"time_t: {', '.join(abis)}")
    grafted = [one.name.rpartition("/")[2] for one in report.files if one.grafted]
    if grafted:
        lines.append(f"grafted: {', '.join(grafted)}")
    if report.standin:
        lines.append("built in a stand-in image: not for publishing")
    return lines
