"""What was built runs where the policy's tag says: on pristine Alpine bases, the floor's own first."""

from musllinux.model import Image, Interpreter
from musllinux.smoke import trial
from musllinux.smoke.checks import floor, rust, wheels
from musllinux.smoke.context import Context
from musllinux.smoke.registry import LeftOut, check

GROUP = "trials"
BEFORE = [floor.GROUP, wheels.GROUP, rust.GROUP]


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
    system, python = subject
    place = trial.trial(context, system)
    kinds = samples(context.image)
    names = [f"smoke_{kind}-1.0-{python.tag}-{context.image.plat}.whl" for kind in kinds]
    paths = {name: context.work / name for name in names}
    absent = [name for name, path in paths.items() if not path.exists()]
    if absent:
        raise LeftOut(f"{', '.join(absent)}: not made, see group {wheels.GROUP!r}")
    folder = f"smoke/{python.tag}"
    place.put({f"{folder}/{name}": path for name, path in paths.items()})
    install = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--root-user-action=ignore"]
    install += ["--disable-pip-version-check", f"--target=/{folder}/site"]
    with trial.transplanted(context, place, python):
        trial.run_python(context, place, python, *install, *(f"/{folder}/{name}" for name in names))
        said = [
            trial.run_python(context, place, python, "-m", f"smoke_{kind}", PYTHONPATH=f"/{folder}/site")
            for kind in kinds
        ]
    musl = place.run("sh", "-c", "/lib/ld-musl-*.so.1 2>&1 | grep Version", log=context.log, check=False).last
    return f"musl {musl.rpartition(' ')[2]}: {said[1].removeprefix('smoke_cxx ok on ')}"
