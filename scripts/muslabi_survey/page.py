"""docs/muslabi-survey.md out of the recorded results and the explanations that people wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muslabi_survey.fetch import HERE, projects
from muslabi_survey.results import Result, Said, Survey

EXPLANATIONS = HERE / "explanations.json"
_MARKS = {"pass": "ok", "warn": "warning", "fail": "**refused**"}


@dataclass(frozen=True)
class Explanation:
    """What was seen when a finding was looked into. Matches a code, project, and message by regular expression."""

    title: str
    code: str
    project: str
    message: str
    text: str

    def covers(self, result: Result, said: Said) -> bool:
        return (
            self.code == said.code
            and re.fullmatch(self.project, result.project) is not None
            and re.search(self.message, said.message) is not None
        )


def explanations() -> tuple[Explanation, ...]:
    raw = json.loads(EXPLANATIONS.read_text(encoding="utf-8"))
    return tuple(Explanation(**one) for one in raw["explanations"])


def unexplained(run: Survey, known: tuple[Explanation, ...]) -> Iterator[tuple[Result, Said]]:
    """The findings that nobody has looked into."""
    for result in run.results:
        for said in result.findings:
            if not any(one.covers(result, said) for one in known):
                yield result, said


def idle(run: Survey, known: tuple[Explanation, ...]) -> list[str]:
    """The titles of explanations that explain nothing any more."""
    every = [(result, said) for result in run.results for said in result.findings]
    return [one.title for one in known if not any(one.covers(result, said) for result, said in every)]


def _version(result: Result) -> str:
    return result.wheel.split("-")[1]


def _cell(result: Result | None, newest: str) -> str:
    if result is None:
        return "-"
    musl = f" {result.needs_musl}" if result.needs_musl else ""
    old = f" ({_version(result)})" if _version(result) != newest else ""
    return f"{_MARKS[result.verdict]}{musl}{old}"


def _table(run: Survey) -> Iterator[str]:
    listed = projects()
    arches = listed["arches"]
    yield f"| project | {' | '.join(arches)} |"
    yield "|---" * (len(arches) + 1) + "|"
    for project in listed["projects"]:
        found = {one.arch: one for one in run.results if one.project == project}
        if found:
            newest = _version(found.get("x86_64") or next(iter(found.values())))
            cells = " | ".join(_cell(found.get(arch), newest) for arch in arches)
            yield f"| {project} {newest} | {cells} |"


def _explained(run: Survey, known: tuple[Explanation, ...]) -> Iterator[str]:
    for one in known:
        yield f"### {one.title}\n"
        yield one.text + "\n"
        hits: dict[str, list[str]] = {}
        for result in run.results:
            for said in result.findings:
                if one.covers(result, said):
                    hits.setdefault(f"{result.project} {_version(result)}", []).append(result.arch)
        places = "; ".join(f"{name} ({', '.join(dict.fromkeys(arches))})" for name, arches in hits.items())
        yield f"`{one.code}` in: {places}\n"


def render(run: Survey, known: tuple[Explanation, ...]) -> str:
    """The page, from results and explanations alone."""
    count = {verdict: sum(one.verdict == verdict for one in run.results) for verdict in _MARKS}
    surveyed = {one.project for one in run.results}
    retag = sum(one.retag for one in run.results)
    ia32 = [one for one in run.results if one.time_abi]
    mixed = sum("mixed" in one.time_abi for one in ia32)
    both = sum({"time32", "time64"} <= set(one.time_abi) for one in ia32)
    head = (HERE / "head.md").read_text(encoding="utf-8")
    return "\n".join(
        [
            head,
            f"Run on {run.day} with muslabi {run.muslabi}: {len(run.results)} wheels of {len(surveyed)} projects. "
            f"{count['pass']} pass, {count['warn']} with warnings, {count['fail']} refused. "
            f"{retag} would be as right with an older tag, musllinux_1_1. "
            f"Of {len(ia32)} wheels for 32-bit systems {mixed} mix time32 and time64 in one file; {both} more have "
            "both kinds in separate files, which is not reported.\n",
            "The number is the oldest musl that every file of the wheel runs on; a version in brackets is that of the "
            "wheel where the newest release has none for the architecture; `-`: no musllinux wheel.\n",
            *_table(run),
            "\n## Every finding, explained\n",
            *_explained(run, known),
        ]
    )


def write(target: Path, run: Survey) -> None:
    target.write_text(render(run, explanations()), encoding="utf-8")
