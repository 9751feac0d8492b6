"""Pristine Alpine bases with the image's interpreters beside them: where finished wheels are tried.

The base is Alpine's own, untouched but for two additions: an interpreter of the image below /opt, and below /smoke/lib
the libraries that the interpreters link. libc, libstdc++ and libgcc_s are never among those: what a wheel needs of them
is what is being tried. /opt lies in memory, an interpreter only as long as it is used: some thousand files each.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from musllinux import certificates, relay
from musllinux.errors import FactoryError
from musllinux.model import OPT, Base, Image, Interpreter
from musllinux.settings import cache_folder
from musllinux.smoke.containers import Container
from musllinux.smoke.context import HOME, Context
from musllinux.smoke.registry import Failed, LeftOut, require

LIBRARIES = f"{HOME}/lib"
FOLDERS = ("/lib", "/usr/lib", "/usr/local/lib")
NEVER = re.compile(r"^(libc\.|ld-|libstdc\+\+|libgcc_s)")
_NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")


def systems(image: Image) -> dict[str, Base | None]:
    """The pristine systems to try on, by name, oldest promise first; None for those that this supply does not have.

    The policy's releases; a base made with the floor's own musl, where the supply has no release of that age; and the
    image's own base, if it is none of these.
    """
    found = {f"Alpine {release}": image.trials.get(release) for release in image.policy.trials}
    if image.policy.floor in image.trials and not next(iter(found.values())):
        found = {f"musl {image.policy.floor}": image.trials[image.policy.floor], **found}
    if image.base.release not in image.policy.trials:
        found[f"Alpine {image.base.release}"] = image.base
    return found


def floor_system(image: Image) -> str:
    """The name of the system whose musl is the policy's floor: a base made with it, else the policy's first release."""
    return next(iter(systems(image)))


def trial(context: Context, system: str) -> Container:
    """The running container of that system, made once; commands there go without an entrypoint.

    Raises LeftOut where the image's supply does not have it.
    """
    base = systems(context.image)[system]
    if base is None:
        raise LeftOut(f"source {context.image.supply.name!r} has no pristine base of {system}")
    return context.shared.get(f"trial {system}", lambda: _make(context, base))


def _make(context: Context, base: Base) -> Container:
    container = context.containers.start(_brought(context, base), context.image.arch.platform, tmpfs=["/opt"])
    libraries = context.shared.get("interpreters' libraries", lambda: _libraries(context))
    container.run("mkdir", "-p", LIBRARIES, OPT, "/opt/python", log=context.log)
    container.put_tar(libraries, LIBRARIES)
    return container


def _brought(context: Context, base: Base) -> str:
    """What to start: the base by its name, or as the driver has brought it with the user's proxy and certificates."""
    platform = context.image.arch.platform
    try:
        return relay.bring(base, platform, cache_folder(), context.log, certificates.bundle())
    except FactoryError as error:
        raise Failed(f"{error.message} ({error.hint})" if error.hint else error.message) from error


def unpack(place: Container, wheels: Iterable[Path], folder: str) -> None:
    """Install wheels below `folder` without pip, which under emulation takes longer to start than they to run."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            files = [name for name in archive.namelist() if not name.endswith("/")]
            place.put({f"{folder}/{name}": archive.read(name) for name in files})


@contextmanager
def transplanted(context: Context, place: Container, python: Interpreter) -> Iterator[None]:
    """The image's interpreter at its own path in a trial system, for as long as the block."""
    place.run("tar", "-xf", "-", "-C", OPT, stdin=context.main.archive(python.prefix), log=context.log)
    place.run("ln", "-s", python.prefix, f"/opt/python/{python.tag}", log=context.log)
    try:
        yield
    finally:
        place.run("rm", "-rf", python.prefix, f"/opt/python/{python.tag}", log=context.log)


def _libraries(context: Context) -> bytes:
    """A tar of every library that the interpreters' files need, directly or not, links followed."""
    folders = " ".join(one.prefix for one in context.image.interpreters)
    files = f"find {folders} -type f -name '*.so*'; "
    files += "; ".join(f"echo {one.prefix}/bin/{one.executable}" for one in context.image.interpreters)
    pending = needed(context.bash(f"{{ {files}; }} | xargs readelf -dW").out)
    found: dict[str, str] = {}
    while pending:
        paths = _locate(context, pending)
        found.update(paths)
        said = context.run("readelf", "-dW", *paths.values()).out if paths else ""
        pending = needed(said) - set(found)
    require(found, "the interpreters need no library at all, which cannot be")
    return context.main.archive_of(found.values(), log=context.log)


def needed(readelf: str) -> set[str]:
    """The libraries that `readelf -d` names, less those that a wheel must find or bring itself."""
    return {name for name in _NEEDED.findall(readelf) if not NEVER.match(name)}


def _locate(context: Context, names: set[str]) -> dict[str, str]:
    folders = " ".join(FOLDERS)
    script = f'for n; do for d in {folders}; do if [ -e "$d/$n" ]; then echo "$n $d/$n"; break; fi; done; done'
    lines = context.bash(script, *sorted(names)).out.splitlines()
    return {name: path for name, _, path in (line.partition(" ") for line in lines)}


def run_python(context: Context, place: Container, python: Interpreter, *argv: str, **env: str) -> str:
    """Run the transplanted interpreter; its last line."""
    program = f"/opt/python/{python.tag}/bin/python"
    variables = {"LD_LIBRARY_PATH": LIBRARIES, "HOME": HOME, **env}
    return place.run(program, *argv, log=context.log, env=variables).last
