"""Wheels as a project makes them: built, repaired, tagged, audited, and run where the tag says they run."""

import json
import zipfile
from pathlib import Path

from musllinux.model import Interpreter, ordinal
from musllinux.smoke import trial
from musllinux.smoke.context import HOME, Context
from musllinux.smoke.registry import check, interpreters, require, same

GROUP = "wheels"


def stem(tag: str, sample: str) -> str:
    """Where a sample is made with an interpreter, in the shared container."""
    return f"{HOME}/made/{tag}/{sample}"


def make(context: Context, python: Interpreter, sample: str, options: str = "") -> Path:
    """Build and repair a sample project with an interpreter; the wheel, on this machine.

    Also checks its tag, the audit's verdict, and that it runs in the image itself.
    """
    folder = stem(python.tag, sample)
    script = (
        'rm -rf "$1"; mkdir -p "$1"; cp -r "/smoke/wheels/$2" "$1/project"; cd "$1"; '
        f'export PATH="/opt/python/{python.tag}/bin:$PATH" PIP_NO_INDEX=1; '
        f"python -m build --wheel {options} --outdir built project; auditwheel repair -w repaired built/*.whl; "
        "ls repaired"
    )
    name = context.bash(script, folder, sample).last
    wanted = f"smoke_{sample.removesuffix('_ext')}-1.0-{python.tag}-{context.image.plat}.whl"
    same("the repaired wheel", name, wanted)
    path = context.work / name
    path.write_bytes(context.main.get(f"{folder}/repaired/{name}"))
    return path


def audited(context: Context, python: Interpreter, wheel: Path, sample: str) -> str:
    """What `muslabi` in the image says: no objection, and no musl newer than the policy's floor."""
    path = f"{stem(python.tag, sample)}/repaired/{wheel.name}"
    said = context.run("muslabi", "--json", path, check=False)
    require(said.code == 0, f"muslabi objects:\n{context.run('muslabi', path, check=False).out}{said.err}")
    report = json.loads(said.out)["reports"][0]
    same("the policy it holds the wheel to", report["policies"], [context.image.policy.name])
    floor = ordinal(context.image.policy.floor)
    require(report["needs_musl"], f"muslabi finds no musl that it runs on: {report['because']}")
    require(ordinal(report["needs_musl"]) <= floor, f"it needs musl {report['needs_musl']}: {report['because']}")
    same("the mark of the stand-in", report["standin"], not context.image.supply.publishable)
    return str(report["needs_musl"])


def tried(context: Context, tag: str, sample: str, wheel: Path) -> str:
    """Install and run it in the image, outside of the project's folder."""
    script = (
        'cd "$1"; "$2" -m pip install -q --no-index --no-deps --no-compile --root-user-action=ignore '
        '--disable-pip-version-check --target site "repaired/$3"; PYTHONPATH=site "$2" -m "$4"'
    )
    module = f"smoke_{sample.removesuffix('_ext')}"
    return context.bash(script, stem(tag, sample), f"/opt/python/{tag}/bin/python", wheel.name, module).last


def grafted(wheel: Path) -> list[str]:
    """The libraries that auditwheel put into the wheel, by the name before its hash."""
    with zipfile.ZipFile(wheel) as archive:
        files = [name.rpartition("/")[2] for name in archive.namelist() if ".libs/" in name]
    return sorted(name.partition("-")[0] for name in files if name)


@check(GROUP, "C: built in isolation, repaired, tagged, audited, run", each=interpreters, weight=8)
def c(context: Context, python: Interpreter) -> str:
    wheel = make(context, python, "c_ext")
    same("libraries put into it", grafted(wheel), [])
    musl = audited(context, python, wheel, "c_ext")
    return f"from musl {musl} on: {tried(context, python.tag, 'c_ext', wheel)}"


@check(GROUP, "C++: likewise, with libstdc++ put into it", each=interpreters, weight=9)
def cxx(context: Context, python: Interpreter) -> str:
    wheel = make(context, python, "cxx_ext", "--no-isolation")
    same("libraries put into it", grafted(wheel), ["libgcc_s", "libstdc++"])
    musl = audited(context, python, wheel, "cxx_ext")
    site = f"{stem(python.tag, 'cxx_ext')}/site"
    trial.unpack(context.main, [wheel], site.lstrip("/"))  # pip has installed the C one
    return f"from musl {musl} on: {context.python(python.tag, '-m', 'smoke_cxx', env={'PYTHONPATH': site}).last}"
