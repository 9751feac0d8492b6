"""What was built runs where the policy's tag says: on pristine Alpine bases, the floor's own first."""

from collections.abc import Sequence
from pathlib import Path

from musllinux.model import Image, Interpreter
from musllinux.smoke import trial
from musllinux.smoke.checks import floor, rust
from musllinux.smoke.checks import wheels as made
from musllinux.smoke.containers import Container
from musllinux.smoke.context import Context
from musllinux.smoke.registry import LeftOut, check

GROUP = "trials"
BEFORE = [floor.GROUP, made.GROUP, rust.GROUP]


def samples(image: Image) -> list[str]:
    """The kinds of wheels that are tried, as their names say them."""
    return ["c", "cxx", *(["rust"] if image.rust else [])]


@check(GROUP, "the fallback runs on the floor's own system", after=BEFORE)
def fallback(context: Context) -> str:
    place = trial.trial(context, trial.floor_system(context.image))
    program = f"{floor.FALLBACK}-configure/fallback"
    if context.run("test", "-x", program, check=False).code:
        raise LeftOut(f"it was not built, see group {floor.GROUP!r}")
    place.put({"smoke/fallback": context.main.get(program)})
    said = place.run("sh", "-c", "chmod +x /smoke/fallback && /smoke/fallback", log=context.log).last
    return f"{trial.floor_system(context.image)}: {said}"


def _trials(image: Image) -> list[tuple[str, tuple[str, Interpreter]]]:
    return [
        (f"{system}, {python.tag}", (system, python))
        for system in trial.systems(image)
        for python in image.interpreters
    ]


@check(GROUP, "the wheels install and run", each=_trials, after=BEFORE, weight=5)
def trials(context: Context, subject: tuple[str, Interpreter]) -> str:
    """pip does it with one interpreter: what it accepts follows from the tags, which all are asked for in the image."""
    system, python = subject
    place = trial.trial(context, system)
    wheels = _wheels(context, python)
    folder = f"smoke/{python.tag}/site"
    with trial.transplanted(context, place, python):
        if python == context.image.tool_host:
            _pip(context, place, python, wheels, folder)
        else:
            trial.unpack(place, wheels, folder)
        said = [
            trial.run_python(context, place, python, "-m", f"smoke_{kind}", PYTHONPATH=f"/{folder}")
            for kind in samples(context.image)
        ]
    musl = place.run("sh", "-c", "/lib/ld-musl-*.so.1 2>&1 | grep Version", log=context.log, check=False).last
    return f"musl {musl.rpartition(' ')[2]}: {said[1].removeprefix('smoke_cxx ok on ')}"


def _wheels(context: Context, python: Interpreter) -> list[Path]:
    """The interpreter's repaired wheels. Raises LeftOut where they were not made."""
    names = [f"smoke_{kind}-1.0-{python.tag}-{context.image.plat}.whl" for kind in samples(context.image)]
    absent = [name for name in names if not (context.work / name).exists()]
    if absent:
        raise LeftOut(f"{', '.join(absent)}: not made, see group {made.GROUP!r}")
    return [context.work / name for name in names]


def _pip(context: Context, place: Container, python: Interpreter, wheels: Sequence[Path], folder: str) -> None:
    place.put({f"smoke/{path.name}": path for path in wheels})
    install = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--root-user-action=ignore"]
    install += ["--disable-pip-version-check", f"--target=/{folder}"]
    trial.run_python(context, place, python, *install, *(f"/smoke/{path.name}" for path in wheels))
