"""`musllinux list`: what the matrix means, for people, scripts, GitHub's strategy.matrix and docker buildx bake."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from musllinux import matrix as matrices
from musllinux import revision
from musllinux import settings as run_settings
from musllinux.errors import EXIT_OK
from musllinux.model import select
from musllinux.redact import redact
from musllinux.schema import Matrix

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
    settings = run_settings.from_args(args)
    matrix = settings.matrix()
    for warning in matrices.warnings(matrix):
        print(f"musllinux: warning: {warning}", file=sys.stderr)
    wanted = _rows(matrix, select(matrix, settings.selection), settings.interpreters)
    form = args.format or ("json" if args.json else "table")
    print(redact(FORMS[form](matrix, wanted)))
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


def _table(_: Matrix, rows: Sequence[Row]) -> str:
    head = ("IMAGE", "ALPINE", "RUNS ON MUSL", "PLATFORM", "TIME_T")
    lines = [head, *((r.id, r.alpine, f"{r.floor}+", r.platform, f"{r.time_t} bits") for r in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    tags = rows[0].interpreters if rows else ()
    return f"{text}\n\nin each: {' '.join(tags)}"


def _json(matrix: Matrix, rows: Sequence[Row]) -> str:
    sources = {"upstream": matrix.sources.upstream.model_dump(), "standin": matrix.sources.standin.model_dump()}
    return json.dumps({"format": FORMAT, "images": [asdict(row) for row in rows], "sources": sources}, indent=1)


def _github(_: Matrix, rows: Sequence[Row]) -> str:
    """One line, for $GITHUB_OUTPUT; in the workflow: `matrix: ${{ fromJSON(needs.list.outputs.matrix) }}`."""
    names = ("id", "policy", "arch", "platform", "runner")
    include = [{name: value for name, value in asdict(r).items() if name in names} for r in rows]
    return json.dumps({"include": include})


def _bake(_: Matrix, rows: Sequence[Row]) -> str:
    """Targets over what `build --prepare` lays out in build/<id>/: Dockerfile, context, the `sources` secret (mirrors).

    Keys as in https://docs.docker.com/build/bake/reference/.
    """
    labels = revision.labels(run_settings.find_root())
    targets = {
        r.id: {
            "context": f"build/{r.id}/context",
            "dockerfile": "../Dockerfile",
            "platforms": [r.platform],
            "secret": [f"id=sources,src=build/{r.id}/.sources"],
            "tags": [r.tag, f"{r.repository}:latest"],
            "labels": labels,
        }
        for r in rows
    }
    group = {"default": {"targets": list(targets)}}
    return json.dumps({"group": group, "target": targets}, indent=1)


FORMS: dict[str, Callable[[Matrix, Sequence[Row]], str]] = {
    "table": _table,
    "json": _json,
    "github": _github,
    "bake": _bake,
}
