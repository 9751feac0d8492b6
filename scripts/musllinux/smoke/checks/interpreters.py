"""Every CPython of the image: what it says of itself, its standard library, TLS, threads, pip and build."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from musllinux.emulation import emulated
from musllinux.model import Interpreter, ordinal
from musllinux.smoke.certificates import credentials
from musllinux.smoke.context import HOME, Context
from musllinux.smoke.registry import check, interpreters, require, same

GROUP = "interpreters"
SAYS_MUSL = (3, 11)  # earlier ones say -linux-gnu in SOABI on musl too (facts: CPython's configure)


@cache
def stdlib_data() -> Mapping[str, Any]:
    data: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "stdlib.yaml").read_text())
    return data


@check(GROUP, "says what it is", each=interpreters)
def identity(context: Context, python: Interpreter) -> str:
    said = _said(context, python)
    arch = context.image.arch
    same("its version", said["version"], python.version)
    same("its prefix", said["prefix"], python.prefix)
    same("bits and byte order", (said["bits"], said["byteorder"]), (arch.bits, arch.endian))
    same("bytes of time_t", said["time_t"], context.image.time_t // 8)
    same("interpreter and ABI tag", said["abi"], python.tag)
    same("free-threaded", (said["free_threaded"], said["gil"]), (python.free_threaded, not python.free_threaded))
    same("file system encoding", said["encoding"], "utf-8")
    _soabi(said["soabi"], python)
    _compilers(said["compiler"])
    return f"{said['version']} {said['soabi']}"


def _said(context: Context, python: Interpreter) -> dict[str, Any]:
    """What the interpreter says of itself, asked once."""

    def ask() -> dict[str, Any]:
        said: dict[str, Any] = json.loads(context.python(python.tag, f"{HOME}/probes/identity.py").out)
        return said

    return context.shared.get(f"identity {python.tag}", ask)


def _soabi(soabi: str, python: Interpreter) -> None:
    libc = "musl" if ordinal(python.series) >= SAYS_MUSL else "gnu"
    wanted = rf"cpython-{python.series.replace('.', '')}{python.suffix}-\w+-linux-{libc}(eabihf)?"
    require(re.fullmatch(wanted, soabi or ""), f"SOABI is {soabi}, which does not match {wanted}")


def _compilers(said: list[str]) -> None:
    cc, cxx, shared = said
    same("the C compiler of extensions", (cc or "").split()[:1], ["gcc"])
    same("the C++ compiler of extensions", (cxx or "").split()[:1], ["g++"])
    same("the linker of extensions", (shared or "").split()[:2], ["gcc", "-shared"])


@check(GROUP, "platform tags", each=interpreters)
def tags(context: Context, python: Interpreter) -> str:
    said = _said(context, python)["platforms"]
    minor = int(context.image.policy.underscored.partition("_")[2])
    wanted = [f"musllinux_1_{n}_{context.image.arch.name}" for n in range(minor, -1, -1)]
    same("packaging.tags", [tag for tag in said if tag.startswith("musllinux")], wanted)
    require(f"linux_{context.image.arch.name}" in said, f"linux_{context.image.arch.name} is not among {said}")
    return f"{wanted[0]} … {wanted[-1]}"


@check(GROUP, "standard library", each=interpreters, weight=3)
def stdlib(context: Context, python: Interpreter) -> str:
    asked = expected_modules(python)
    argv = [f"{HOME}/probes/stdlib.py"]
    said = json.loads(context.python(python.tag, *argv, stdin=json.dumps(asked).encode()).last)
    broken = [f"{name}: {error}" for name, error in said["broken"].items()]
    require(not broken, "\n".join([f"{len(broken)} modules cannot be imported:", *broken]))
    require(said["c_decimal"], "decimal is the slow one in pure Python")
    same("hash algorithms missing", said["missing_hashes"], [])
    left = sorted(set(asked["skip"]) & set(stdlib_data()["optional"]))
    return f"{said['imported']} modules" + (f", without {', '.join(left)}" if left else "")


def expected_modules(python: Interpreter) -> dict[str, Any]:
    """What the probe is to import: names (None: the interpreter knows), more (submodules), skip."""
    data = stdlib_data()
    lacking = [m for m in data["optional"] if m not in python.modules]
    skip = [name for names in data["elsewhere"].values() for name in names] + list(data["apart"])
    for module in lacking:
        skip += [module, *data["optional"][module]]
    more = [name for name, needs in data["submodules"].items() if needs not in lacking]
    return {"names": data["known"].get(python.series), "more": [*more, *python.modules], "skip": skip}


@check(GROUP, "TLS: trusts its bundle and nothing else", each=interpreters)
def tls(context: Context, python: Interpreter) -> str:
    folder = f"{HOME}/tls"
    context.shared.get("tls", lambda: context.main.put(_below("smoke/tls", credentials()), "/"))
    return context.python(python.tag, f"{HOME}/probes/tls.py", folder).last


def _below(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes | Path]:
    return {f"{folder}/{name}": content for name, content in files.items()}


@check(GROUP, "deep recursion in a thread", each=interpreters)
def recursion(context: Context, python: Interpreter) -> str:
    headers = context.run("readelf", "-lW", f"{python.prefix}/bin/{python.executable}").out
    stack = next(line.split() for line in headers.splitlines() if "GNU_STACK" in line)
    same("bytes of a thread's stack (PT_GNU_STACK)", int(stack[5], 16), python.stack)
    return context.python(python.tag, f"{HOME}/probes/recursion.py", str(python.recursion)).last


@check(GROUP, "dates beyond 2038, struct, ctypes", each=interpreters)
def years(context: Context, python: Interpreter) -> str:
    arch = context.image.arch
    bits = (str(arch.bits), str(context.image.time_t))
    coarse = ["seconds"] if "nanoseconds of stat" in arch.qemu_lacks and emulated(arch) else []
    return context.python(python.tag, f"{HOME}/probes/years.py", *bits, *coarse).last


@check(GROUP, "pip and build", each=interpreters)
def pip(context: Context, python: Interpreter) -> str:
    """As cibuildwheel looks: python and pip resolve inside the interpreter's own folder, build is importable."""
    folder = f"/opt/python/{python.tag}/bin"
    script = (
        f'export PATH="{folder}:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1; '
        "which python pip; python -m pip check; python -c 'import build; print(build.__version__)'; pip --version"
    )
    lines = context.bash(script).out.splitlines()
    same("which python, which pip", lines[:2], [f"{folder}/python", f"{folder}/pip"])
    require(python.prefix in lines[-1], f"pip is not the interpreter's own: {lines[-1]}")
    return f"pip {lines[-1].split()[1]}, build {lines[-2]}"


@check(GROUP, "commands on PATH", each=interpreters)
def commands(context: Context, python: Interpreter) -> str:
    name = python.executable
    script = f"readlink -f $(command -v {name}) $(command -v c{name}); {name} -c 'import sys; print(sys.prefix)'"
    lines = context.bash(script).out.splitlines()
    program = f"{python.prefix}/bin/{name}"
    same(f"{name}, c{name} and its prefix", lines, [program, program, python.prefix])
    return f"{name}, c{name}"


@check(GROUP, "manylinux-interpreters lists and ensures them")
def manylinux(context: Context) -> str:
    listed = context.run("manylinux-interpreters", "list").out.split()
    absent = {one.tag for one in context.image.interpreters} - set(listed)  # it may have more than are asked for
    require(not absent, f"the list {sorted(listed)} lacks {sorted(absent)}")
    context.run("manylinux-interpreters", "ensure", *listed)
    context.run("manylinux-interpreters", "ensure-all")
    refused = context.run("manylinux-interpreters", "ensure", "cp27-cp27mu", check=False)
    require(refused.code and "cp27-cp27mu" in refused.err, "it does not refuse an interpreter that is not there")
    return f"{len(listed)} interpreters; refuses cp27-cp27mu"
