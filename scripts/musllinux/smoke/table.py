"""smoke.json for people: a row a check, what failed or was left out in full."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TextIO

from musllinux.console import seconds_text
from musllinux.smoke.record import CheckResult, SmokeRecord

WIDTH = 160  # of a line outside of a terminal
MARKS = {"ok": "green", "failed": "bold red", "left-out": "yellow"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One check, of everything it was made of."""

    group: str
    name: str
    status: str
    count: str  # "4", or "3 of 4"
    seconds: float
    text: str


def rows(checks: Iterable[CheckResult]) -> list[Row]:
    """Consecutive results of one check become one row; its status is the worst."""
    found = []
    for (group, name), run in groupby(checks, key=lambda one: (one.group, one.name)):
        results = list(run)
        worst = next(s for s in ("failed", "left-out", "ok") if any(r.status == s for r in results))
        fine = sum(r.status == "ok" for r in results)
        count = str(len(results)) if fine == len(results) else f"{fine} of {len(results)}"
        seconds = round(sum(r.seconds for r in results), 1)
        text = _common(results, worst)
        found.append(Row(group=group, name=name, status=worst, count=count, seconds=seconds, text=text))
    return found


def _common(results: Sequence[CheckResult], worst: str) -> str:
    """One line to go with the row; of several results that differ, the first and the number of others."""
    texts = list(dict.fromkeys(r.text.splitlines()[0] for r in results if r.status == worst and r.text))
    if not texts:
        return ""
    return texts[0] if len(texts) == 1 else f"{texts[0]} (+{len(texts) - 1})"


def summary(record: SmokeRecord) -> str:
    """`musllinux_1_2_x86_64: 118 checks ok, 2 left out, in 2 min 10 s (stand-in)`."""
    failed, left = record.count("failed"), record.count("left-out")
    parts = [f"{failed} FAILED"] if failed else []
    parts.append(f"{record.count('ok')} ok")
    parts += [f"{left} left out"] if left else []
    notes = [record.source, *(["emulated"] if record.machine.emulated else [])]
    return f"{record.id}: {', '.join(parts)}, in {seconds_text(record.seconds)} ({', '.join(notes)})"


def show(record: SmokeRecord, stream: TextIO | None = None, *, color: bool = True) -> None:
    """Print the table, the details of what was not ok, and the summary."""
    out = stream or sys.stdout
    if out.isatty() and color:
        _show_rich(record, out)
    else:
        print(plain(record), file=out, flush=True)


def plain(record: SmokeRecord) -> str:
    found = rows(record.checks)
    widths = [max((len(value) for value in column), default=0) for column in zip(*map(_cells, found), strict=True)]
    lines = ["  ".join(map(str.ljust, _cells(row), widths)).rstrip() for row in found]
    lines = [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines]
    return "\n".join([*lines, *_details(record), "", summary(record)])


def _cells(row: Row) -> tuple[str, ...]:
    return row.status, row.group, row.name, row.count, f"{row.seconds:.1f} s", row.text


def _details(record: SmokeRecord) -> list[str]:
    lines: list[str] = []
    for one in record.checks:
        if one.status == "failed":
            lines += ["", f"FAILED {one.group} / {one.title}", *(f"    {line}" for line in one.detail.splitlines())]
    left = [one for one in record.checks if one.status == "left-out"]
    for reason, group in groupby(sorted(left, key=lambda one: one.reason), key=lambda one: one.reason):
        titles = [f"{one.group} / {one.title}" for one in group]
        lines += ["", f"left out ({len(titles)}): {reason}", *(f"    {title}" for title in titles)]
    return lines


def _show_rich(record: SmokeRecord, out: TextIO) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(file=out, highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("", "GROUP", "CHECK"):
        table.add_column(title, no_wrap=title != "CHECK")
    table.add_column("OF", justify="right")
    table.add_column("TIME", justify="right", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for row in rows(record.checks):
        status, *cells = _cells(row)
        table.add_row(Text(status, style=MARKS[status]), *map(Text, cells))
    console.print(table)
    for line in _details(record):
        console.print(Text(line, style="bold red" if line.startswith("FAILED") else ""), soft_wrap=True)
    console.print()
    console.print(Text(summary(record), style=MARKS["failed" if not record.green else "ok"]))
