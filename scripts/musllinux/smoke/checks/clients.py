"""pip and cibuildwheel against the image, as a project's CI runs them: built from an index, repaired, tested."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from musllinux.engine import find_client
from musllinux.model import Image
from musllinux.run import CommandError, run
from musllinux.smoke import pipconfig
from musllinux.smoke.containers import BYTECODE, Mount
from musllinux.smoke.context import Context
from musllinux.smoke.registry import Failed, LeftOut, check, same

GROUP = "clients"
SITE = "/root/site"  # in a container


def chosen(image: Image) -> list[str]:
    """The oldest interpreter, the newest, and one without the GIL: what cibuildwheel may treat differently."""
    ordinary = [one.tag for one in image.interpreters if not one.free_threaded]
    threaded = [one.tag for one in image.interpreters if one.free_threaded]
    return list(dict.fromkeys([*ordinary[:1], *ordinary[-1:], *threaded[-1:]]))


def _require_index(context: Context) -> None:
    problem = context.shared.get("index", pipconfig.reachable)
    if problem:
        raise LeftOut(f"pip on this machine reaches no package index: {problem}")


@check(GROUP, "pip installs from the index", weight=6)
def pip(context: Context) -> str:
    """What every build does first, with the oldest and the newest interpreter's pip."""
    _require_index(context)
    tags = [context.image.interpreters[0].tag, context.image.interpreters[-1].tag]
    options = ["-q", "--no-compile", "--disable-pip-version-check", "--root-user-action=ignore", f"--target={SITE}"]
    with pipconfig.prepared() as mounts, context.fresh(mounts=mounts, network=pipconfig.network()) as container:
        for tag in dict.fromkeys(tags):
            python = f"/opt/python/{tag}/bin/python"
            container.run("rm", "-rf", SITE, log=context.log)
            container.run(python, "-m", "pip", "install", *options, "setuptools", log=context.log)
        return container.run("sh", "-c", f"ls -d {SITE}/setuptools-*", log=context.log).last.rpartition("/")[2]


@check(GROUP, "cibuildwheel builds and tests a project", weight=60)
def cibuildwheel(context: Context) -> str:
    if importlib.util.find_spec("cibuildwheel") is None:
        raise LeftOut("cibuildwheel is not installed beside musllinux (it is in the dev dependency group)")
    _require_index(context)
    tags = chosen(context.image)
    with pipconfig.prepared() as mounts, tempfile.TemporaryDirectory(prefix="musllinux-cibw-") as folder:
        output = _run(context, tags, mounts, Path(folder))
    wanted = sorted(f"smoke_cibw-1.0-{tag}-{context.image.plat}.whl" for tag in tags)
    same("the wheels", output[0], wanted)
    tested = sum(line.startswith("smoke_cibw ok on Python") for line in output[1])
    same("wheels whose tests ran", tested, len(tags))
    return f"cibuildwheel {importlib.metadata.version('cibuildwheel')}: {', '.join(tags)}"


def _run(context: Context, tags: Sequence[str], mounts: Sequence[Mount], folder: Path) -> tuple[list[str], list[str]]:
    """The names of the wheels, and what was said."""
    project = folder / "project"
    shutil.copytree(context.samples / "cibuildwheel", project)
    commands = folder / "bin"
    commands.mkdir()
    (commands / "docker").symlink_to(find_client().path)  # its own choice would be the first on PATH
    try:
        done = run(
            [sys.executable, "-m", "cibuildwheel", "--output-dir", "../wheels", "."],
            cwd=project,
            env=_environment(context, tags, mounts, commands, folder),
            on_line=context.log,
            timeout=900 * context.main.slow,
        )
    except CommandError as error:
        raise Failed("\n".join(["cibuildwheel failed", *error.tail])) from None
    wheels = sorted(path.name for path in (folder / "wheels").glob("*.whl"))
    return wheels, done.output.splitlines()


def _environment(
    context: Context, tags: Sequence[str], mounts: Sequence[Mount], commands: Path, folder: Path
) -> dict[str, str]:
    """Variables of the run: nothing of the user's own CIBW_* settings may change what is tried."""
    arch = context.image.arch.name
    create = [f"--volume={mount.source}:{mount.target}:ro" for mount in mounts]
    create += [f"--label={name}={value}" for name, value in context.containers.labels.items()]
    network = pipconfig.network()
    create += [f"--network={network}"] if network else []
    create += [f"--env={name}={value}" for name, value in BYTECODE.items()]
    own = dict.fromkeys((name for name in os.environ if name.startswith("CIBW_")), "")
    return {
        **own,
        "PATH": f"{commands}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "CIBW_PLATFORM": "linux",
        "CIBW_ARCHS": arch,
        "CIBW_BUILD": " ".join(f"{tag.partition('-')[2]}-musllinux_{arch}" for tag in tags),
        f"CIBW_MUSLLINUX_{arch.upper()}_IMAGE": context.facts.reference,
        "CIBW_CONTAINER_ENGINE": f"docker; create_args: {' '.join(create)}; disable_host_mount: true",
        "CIBW_CACHE_PATH": str(folder / "cache"),
        "PYTHONUNBUFFERED": "1",
    }
