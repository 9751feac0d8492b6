"""`musllinux smoke`: which images, from which record to reuse, and how it all ended."""

import json
import sys
import threading
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musllinux import console, jobs, sources
from musllinux import record as build_record
from musllinux.alone import alone
from musllinux.complaint import show
from musllinux.console import Board
from musllinux.engine import ImageFacts, image_facts
from musllinux.errors import EXIT_FAILED, EXIT_OK, FactoryError
from musllinux.model import LABELS, Image, Selection, Supply, resolve, select
from musllinux.run import interruptible
from musllinux.settings import Settings, Source, from_args
from musllinux.smoke import record, runner, table
from musllinux.smoke.record import CheckResult, SmokeRecord
from musllinux.smoke.registry import Check
from musllinux.smoke.suite import checks


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One image: its record, or why there is none."""

    image: str
    record: SmokeRecord | None = None
    reused: bool = False
    problem: FactoryError | None = None

    @property
    def ok(self) -> bool:
        return self.record is not None and self.record.green


def try_images(
    images: Sequence[Image], *, root: Path, work: Path, again: bool = False, at_once: int = 1
) -> list[Tried]:
    """Try each image and write its record.

    What is green already, for the same image and the same checks, is not tried again unless `again`.
    """
    with console.progress([image.id for image in images]) as board:
        return jobs.each(images, lambda image: _try(image, root, work, board, again=again), at_once)


def _try(image: Image, root: Path, work: Path, board: Board, *, again: bool) -> Tried:
    try:
        with alone(work / image.id):
            known = None if again else reusable(image, root, work)
            found = known or runner.smoke(image, root=root, work=work, progress=Reporter(image, board))
            if known is None:
                record.write(work, found)
    except FactoryError as error:
        board.finish(image.id, ok=False, note=error.message)
        return Tried(image=image.id, problem=error)
    board.finish(image.id, ok=found.green, note=("tried before: " if known else "") + table.summary(found))
    return Tried(image=image.id, record=found, reused=known is not None)


def reusable(image: Image, root: Path, work: Path) -> SmokeRecord | None:
    """The record of a green run on this very image with these very checks, if there is one."""
    known = record.read(work, image.id)
    if known is None or not known.green or known.suite != record.suite(image, root):
        return None
    facts = image_facts(image.tag)
    return known if facts is not None and facts.id == known.image else None


class Reporter:
    """Checks as steps of the image: a group begins with its first check and ends with its last."""

    def __init__(self, image: Image, board: Board) -> None:
        self._image, self._board = image.id, board
        self._left = Counter(one.group for one in checks(image))
        self._total = sum(self._left.values())
        self._bad: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._lock = threading.Lock()

    def started(self, check: Check) -> None:
        self._board.begin(self._image, check.group)

    def ended(self, check: Check, result: CheckResult) -> None:
        with self._lock:
            self._left[check.group] -= 1
            self._bad[check.group] += result.status == "failed"
            over, bad = not self._left[check.group], self._bad[check.group]
            self._board.count(self._image, self._total - sum(self._left.values()), self._total)
        if result.status == "failed":
            self._board.note(self._image, f"failed: {check.group} / {result.title}: {result.detail.splitlines()[0]}")
        if over:
            self._board.end(self._image, check.group, f"{bad} failed" if bad else "ok")


def command(args: Namespace) -> int:
    settings = from_args(args)
    images = chosen_images(settings)
    again = getattr(args, "again", False)  # `build --smoke` has no such option
    at_once = jobs.count(args.jobs, len(images))
    with interruptible():
        tried = try_images(images, root=settings.root, work=settings.work, again=again, at_once=at_once)
    if settings.json:
        json.dump([_as_json(one) for one in tried], sys.stdout, indent=1)
        print()
    else:
        _show(tried, settings)
    return EXIT_OK if all(one.ok for one in tried) else EXIT_FAILED


def chosen_images(settings: Settings) -> list[Image]:
    """What is asked for; without a wish, every image that is built. Each from the source that it was built from.

    Raises UsageError for unknown names, FactoryError when none is built or its source cannot be read.
    """
    matrix = settings.matrix()
    asked = [f"{policy}_{arch}" for policy, arch in select(matrix, settings.selection)]
    facts = {name: image_facts(f"{name}:latest") for name in asked}
    wished = settings.ids or settings.policies or settings.arches
    names = [name for name in asked if wished or facts[name]]
    if not names:
        raise FactoryError("no image is built", hint="`musllinux build` builds them")
    supplies: dict[Source, Supply] = {}
    images = []
    for name in names:
        source = _source(settings, facts[name])
        if source not in supplies:
            supplies[source] = sources.present(settings, matrix, source)
        selection = Selection(ids=(name,), interpreters=_interpreters(settings, name, facts[name]))
        images += resolve(matrix, supplies[source], selection)
    return images


def _source(settings: Settings, facts: ImageFacts | None) -> Source:
    """The one asked for, else the one whose mark the image bears."""
    if settings.source is not Source.AUTO:
        return settings.source
    return Source.STANDIN if facts and f"{LABELS}.standin" in facts.labels else Source.UPSTREAM


def _interpreters(settings: Settings, name: str, facts: ImageFacts | None) -> tuple[str, ...]:
    """Those asked for, else those that the image was built with, as its build record says; empty: all."""
    built = build_record.read(settings.work, name)
    if settings.interpreters or built is None or facts is None or built.image != facts.id:
        return settings.interpreters
    return tuple(entry.split()[0] for entry in built.interpreters)


def _as_json(one: Tried) -> dict[str, Any]:
    if one.record is None:
        return {"id": one.image, "problem": str(one.problem)}
    return {**one.record.model_dump(), "reused": one.reused}


def _show(tried: Sequence[Tried], settings: Settings) -> None:
    for one in tried:
        if one.record is not None:
            table.show(one.record, color=settings.color)
            log = settings.work / one.image / "smoke.log"
            print(f"  log: {log}" + ("  (tried before on this very image; --again repeats it)" if one.reused else ""))
    for one in tried:
        if one.problem is not None:
            show(one.problem)
