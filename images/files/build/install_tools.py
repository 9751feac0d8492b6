"""install_tools.py TOOLS OUT: install locked wheels for interpreters of another architecture, running none of them.

TOOLS/spec.json lists environments; each names the prefix, the interpreter's path in the image, and its wheels
(TOOLS/wheels/*). With a `venv` entry the environment is an isolated one: the folders and links that `python -m venv`
makes, with its commands linked into /usr/local/bin. Needs PyPA's `installer` on PYTHONPATH.
"""

import json
import pathlib
import re
import sys

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile


def destination(environment, project, out):
    """Where a project's files go (sysconfig's posix_prefix; headers in a folder of the project's, as pip has them)."""
    prefix = environment["prefix"]
    site = f"{prefix}/lib/{environment['library']}/site-packages"
    return SchemeDictionaryDestination(
        scheme_dict={
            "purelib": site,
            "platlib": site,
            "headers": f"{prefix}/include/{environment['library']}/{project}",
            "scripts": f"{prefix}/bin",
            "data": prefix,
        },
        interpreter=environment["python"],
        script_kind="posix",
        bytecode_optimization_levels=(),
        destdir=str(out),
    )


def normalised(project):
    """PEP 503's name: wheels write made_up where the project is called made-up."""
    return re.sub(r"[-_.]+", "-", project).lower()


def install_wheels(environment, tools, out):
    requested = {normalised(project) for project in environment["requested"]}
    for name in environment["wheels"]:
        with WheelFile.open(tools / "wheels" / name) as source:
            source.validate_record(validate_contents=False)  # the whole wheel's sum was checked before it came here
            metadata = {"INSTALLER": b"musllinux-factory"}
            if normalised(source.distribution) in requested:
                metadata["REQUESTED"] = b""
            place = destination(environment, source.distribution, out)
            install(source=source, destination=place, additional_metadata=metadata)


def make_venv(environment, out):
    """The layout of CPython's venv module (Lib/venv/__init__.py), made by hand: its interpreter cannot run here."""
    venv = environment["venv"]
    root = out / environment["prefix"].lstrip("/")
    (root / "bin").mkdir(parents=True)
    (root / "bin/python").symlink_to(venv["executable"])
    for name in ("python3", environment["library"]):
        (root / "bin" / name).symlink_to("python")
    (root / "pyvenv.cfg").write_text(
        f"home = {pathlib.Path(venv['executable']).parent}\ninclude-system-site-packages = false\n"
        f"version = {venv['version']}\nexecutable = {venv['executable']}\n"
    )


def link_commands(environment, out):
    folder = out / "usr/local/bin"
    folder.mkdir(parents=True, exist_ok=True)
    for command in environment["commands"]:
        script = pathlib.Path(environment["prefix"], "bin", command)
        if not (out / str(script).lstrip("/")).exists():
            sys.exit(f"{environment['prefix']}: its wheels bring no command {command!r}")
        (folder / command).symlink_to(script)


def main(tools, out):
    tools, out = pathlib.Path(tools), pathlib.Path(out)
    for environment in json.loads((tools / "spec.json").read_text()):
        if environment["venv"]:
            make_venv(environment, out)
        install_wheels(environment, tools, out)
        link_commands(environment, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
