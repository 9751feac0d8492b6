"""`musllinux list`: what the matrix means, for people, scripts, GitHub's strategy.matrix and docker buildx bake."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from musllinux import bake
from musllinux import matrix as matrices
from musllinux.errors import EXIT_OK, FactoryError
from musllinux.model import select
from musllinux.redact import redact
from musllinux.schema import Matrix
from musllinux.settings import Settings, from_args

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image as `list --json` shows it; names as in the matrix."""

    id: str
    policy: str
    arch: str
    alpine: str
    floor: str  # the oldest musl its wheels run on
    platform: str
    apk_arch: str
    triple: str
    time_t: int  # bits
    interpreters: tuple[str, ...]
    repository: str
    tag: str  # the local tag of a built image
    runner: str  # GitHub's label of a machine to build on


def command(args: argparse.Namespace) -> int:
    settings = from_args(args)
    matrix = settings.matrix()
    for warning in matrices.warnings(matrix):
        print(f"musllinux: warning: {warning}", file=sys.stderr)
    wanted = _rows(matrix, select(matrix, settings.selection), settings.interpreters)
    form = args.format or ("json" if args.json else "table")
    print(redact(FORMS[form](settings, matrix, wanted)))
    return EXIT_OK


def _rows(matrix: Matrix, pairs: Sequence[tuple[str, str]], interpreters: Sequence[str]) -> list[Row]:
    tags = tuple(tag for tag in matrix.interpreters if tag in (interpreters or matrix.interpreters))
    return [_row(matrix, policy, arch, tags) for policy, arch in pairs]


def _row(matrix: Matrix, policy: str, arch: str, tags: tuple[str, ...]) -> Row:
    promise, machine = matrix.policies[policy], matrix.architectures[arch]
    image = f"{policy}_{arch}"
    return Row(
        id=image,
        policy=policy,
        arch=arch,
        alpine=promise.alpine,
        floor=promise.floor,
        platform=machine.platform,
        apk_arch=machine.apk,
        triple=machine.triple,
        time_t=promise.time_t_32 if machine.bits == 32 else machine.bits,  # noqa: PLR2004 - bits
        interpreters=tags,
        repository=f"{matrix.image.registry}/{matrix.image.organisation}/{image}",
        tag=f"{image}:latest",
        runner=machine.runner,
    )


def _table(_: Settings, __: Matrix, rows: Sequence[Row]) -> str:
    head = ("IMAGE", "ALPINE", "RUNS ON MUSL", "PLATFORM", "TIME_T")
    lines = [head, *((r.id, r.alpine, f"{r.floor}+", r.platform, f"{r.time_t} bits") for r in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    tags = rows[0].interpreters if rows else ()
    return f"{text}\n\nin each: {' '.join(tags)}"


def _json(_: Settings, matrix: Matrix, rows: Sequence[Row]) -> str:
    sources = {"upstream": matrix.sources.upstream.model_dump(), "standin": matrix.sources.standin.model_dump()}
    return json.dumps({"format": FORMAT, "images": [asdict(row) for row in rows], "sources": sources}, indent=1)


def _github(_: Settings, __: Matrix, rows: Sequence[Row]) -> str:
    """One line, for $GITHUB_OUTPUT; in the workflow: `matrix: ${{ fromJSON(needs.list.outputs.matrix) }}`."""
    names = ("id", "policy", "arch", "platform", "runner")
    include = [{name: value for name, value in asdict(r).items() if name in names} for r in rows]
    return json.dumps({"include": include})


def _bake(settings: Settings, _: Matrix, rows: Sequence[Row]) -> str:
    """The targets that `build --prepare` has laid out in build/<id>/: those asked for, else all there are.

    Raises FactoryError where one that is asked for is not laid out, or none is.
    """
    found = {r.id: bake.read(settings.work, r.id) for r in rows}
    targets = {name: target for name, target in found.items() if target is not None}
    absent = [name for name in found if name not in targets]
    asked = settings.ids or settings.policies or settings.arches
    if absent and (asked or not targets):
        raise FactoryError(
            f"not laid out: {', '.join(absent)}" if asked else "no image is laid out",
            hint="`musllinux build --prepare` lays out what bake builds",
        )
    group = {"default": {"targets": list(targets)}}
    return json.dumps({"group": group, "target": targets}, indent=1)


def _emulators(_: Settings, matrix: Matrix, rows: Sequence[Row]) -> str:
    """A line an architecture: its name, qemu's name of it, the machines (`uname -m`) that need no emulator for it."""
    arches = {row.arch: matrix.architectures[row.arch] for row in rows}
    return "\n".join(" ".join([name, arch.qemu, *(arch.runs_on or arch.uname)]) for name, arch in arches.items())


FORMS: dict[str, Callable[[Settings, Matrix, Sequence[Row]], str]] = {
    "table": _table,
    "json": _json,
    "github": _github,
    "bake": _bake,
    "emulators": _emulators,
}
