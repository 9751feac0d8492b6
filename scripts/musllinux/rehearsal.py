"""The stand-in as the driver sees it: which of its parts an image needs, and the verb that starts and stops it."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from musllinux.errors import EXIT_FAILED, EXIT_OK, UsageError
from musllinux.model import Selection, select
from musllinux.schema import Matrix
from musllinux.settings import Settings, from_args
from standin import control
from standin.archives import default_series
from standin.bases import ENVIRONMENT
from standin.state import State

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What of the stand-in is asked for: architectures as apk names them, policies, CPython series, packages.

    `native`: packages of the stages that run on the building machine, made for it whatever the architectures are.
    """

    architectures: tuple[str, ...]
    policies: tuple[str, ...]
    pythons: tuple[str, ...]
    packages: tuple[str, ...]
    native: tuple[str, ...]


def rehearsable(matrix: Matrix, selection: Selection) -> tuple[Selection, tuple[str, ...]]:
    """The selection without the images that the stand-in has no recipes or no base for, and the ids of those.

    Raises UsageError where nothing is left.
    """
    pairs = select(matrix, selection)
    there = [pair for pair in pairs if control.rehearses(pair[0], matrix.architectures[pair[1]].apk)]
    left_out = tuple(f"{policy}_{arch}" for policy, arch in pairs if (policy, arch) not in there)
    if not there:
        raise UsageError(
            f"the stand-in has no recipes or no base for {', '.join(left_out)}",
            hint=f"give Alpine's minirootfs tarballs in {ENVIRONMENT}, or build from upstream: SOURCES=upstream",
        )
    ids = tuple(f"{policy}_{arch}" for policy, arch in there)
    return Selection(ids=ids, interpreters=selection.interpreters), left_out


def part_for(matrix: Matrix, selection: Selection) -> Part:
    """What the selected images need. Series beyond the stand-in's default ones only where they are asked for."""
    pairs = select(matrix, selection)
    asked = [matrix.interpreters[tag].series for tag in selection.interpreters]
    return Part(
        architectures=_once(matrix.architectures[arch].apk for _, arch in pairs),
        policies=_once(policy for policy, _ in pairs),
        pythons=_once([*default_series(), *asked]),
        packages=packages(matrix),
        native=_once([*matrix.packages.native, *matrix.rust.builder]),
    )


def packages(matrix: Matrix) -> tuple[str, ...]:
    """Every apk package that images of this matrix can ask for."""
    libraries = matrix.libraries.values()
    listed = [*matrix.packages.system, *matrix.packages.sysroot, *matrix.packages.native]
    listed += [*matrix.rust.packages, *matrix.rust.builder]
    return tuple(sorted({*listed, *(lib.build for lib in libraries), *(lib.run for lib in libraries if lib.run)}))


def up(part: Part, cache: Path, report: Report) -> State:
    """Bring up what is missing; quick where nothing is. Raises StandinError."""
    options = control.Options(
        cache=cache,
        architectures=part.architectures,
        policies=part.policies,
        pythons=part.pythons,
        wanted=part.packages,
        native=part.native,
    )
    return control.up(options, report)


def cache(settings: Settings) -> Path:
    return settings.cache / "standin"


def state_file(settings: Settings) -> Path:
    return cache(settings) / "state.json"


def command(args: Namespace) -> int:
    settings = from_args(args)
    return _ACTIONS[args.action](settings)


def _up(settings: Settings) -> int:
    matrix = settings.matrix()
    selection, left_out = rehearsable(matrix, settings.selection)
    if left_out:
        _say(f"no recipes or no base for {', '.join(left_out)}: left out")
    state = up(part_for(matrix, selection), cache(settings), _say)
    return _show(settings, state)


def _down(settings: Settings) -> int:
    stopped = control.down(cache(settings), _say)
    if not stopped:
        _say("nothing of the stand-in was running")
    return EXIT_OK


def _status(settings: Settings) -> int:
    status = control.status(cache(settings))
    if status.state is None:
        _say(f"the stand-in was never up here ({status.root}); `musllinux standin up` starts it")
        return EXIT_FAILED
    _show(settings, status.state)
    if not status.running:
        _say("it is not running; `musllinux standin up` starts it")
    return EXIT_OK if status.running else EXIT_FAILED


_ACTIONS: dict[str, Callable[[Settings], int]] = {"up": _up, "down": _down, "status": _status}


def _show(settings: Settings, state: State) -> int:
    if settings.json:
        print(json.dumps(state.to_json(), indent=1))
        return EXIT_OK
    print(f"mirror    {state.mirror}\narchives  {state.python}\nregistry  {state.registry}")
    for base in state.bases:
        print(f"base      Alpine {base.version} {base.apk_arch}, musl {base.musl}, {base.role}, from {base.origin}")
    for version, archive in state.archives.items():
        print(f"CPython   {version} {archive['sha256'][:16]}…")
    for arch, names in state.lacks.items():
        print(f"lacks     {arch}: {', '.join(names) or 'nothing'}")
    return EXIT_OK


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _say(line: str) -> None:
    print(f"[standin] {line}", file=sys.stderr, flush=True)
