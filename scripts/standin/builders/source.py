"""A package compiled from sources, mostly Debian's, for the target, on this machine, by clang.

Options:
    source, suite, archive, inner   which tarball (see sources.py)
    files       {name: text}: the sources themselves, where Debian has none that fit
    uses        recipes whose headers and libraries it is built with; also in `needs`
    tools       {name: {recipe: ..., program: path, variables: {NAME: path}}}: Debian programs of this machine to
                have on PATH, with their libraries in lib/ and variables pointing to their files
    build       shell text, run with `sh -eu` in the unpacked source; what it installs below $DESTDIR is the tree

The shell text finds `cc`, `ar` and the like on PATH for the target, `host-cc` for programs that run while
building, and in its environment CC, AR, RANLIB, NM, LD, STRIP, CFLAGS, CPPFLAGS, LDFLAGS, HOST_CC, TRIPLE, JOBS,
DESTDIR and `configure`, the words that an autoconf configure wants. Every `make` is told DESTDIR on its command
line: a Makefile that sets it would otherwise install into this machine. Also needs: gnu-tools, host-sysroot,
standin-glibc, sysroot, tool-zig. Of the machine itself it takes sh, make, awk, sed and the usual small programs.
"""

import mmap
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from standin import process
from standin.builders import layout, sources, zig
from standin.builders.host import this_host
from standin.builders.names import names_for
from standin.builders.programs import command, is_elf
from standin.catalogue import Inputs, Recipe, Target
from standin.errors import StandinError
from standin.fields import expand

VERSION = 1

SYSROOT, HOST_SYSROOT, GNU_TOOLS = "sysroot", "host-sysroot", "gnu-tools"
# What clang must be told that Alpine's gcc does by itself: lenient where gcc 14 is an error only in clang's newest.
_LENIENT = (
    "-Wno-error=implicit-function-declaration",
    "-Wno-error=implicit-int",
    "-Wno-error=int-conversion",
    "-Wno-error=incompatible-function-pointer-types",
)
_COMPILE = ("--rtlib=libgcc", "-fuse-ld=lld")
# In the compiler's wrapper and not in LDFLAGS, because some packages write LDFLAGS into their .pc files.
_LINK = ("-Wl,--as-needed", "-Wl,-z,relro,-z,now", "-Wl,-z,defs", "-Wl,--strip-all")


def build(recipe: Recipe, target: Target, inputs: Inputs, out: Path) -> None:
    """Compile and install into `out`. Raises StandinError with the log's last lines if that fails."""
    options = expand(recipe.options, names_for(target))
    folder = inputs.work / "build" / recipe.name
    if "source" in options:
        tarball = sources.named(inputs.source(options["suite"], options["source"]), options["archive"])
        sources.unpack(tarball, folder, inner=options.get("inner"))
    for name, text in options.get("files", {}).items():
        layout.write(folder / name, text)
    bin_folder = inputs.work / "bin"
    _write_tools(bin_folder, target, inputs, out)
    for name, tool in options.get("tools", {}).items():
        _write_debian_tool(bin_folder / name, tool, inputs)
    script = inputs.work / "build.sh"
    script.write_text(options["build"], encoding="utf-8")
    process.run(
        [*target.personality, "sh", "-eu", script],
        cwd=folder,
        env=_environment(options, target, inputs, out, bin_folder),
        log=inputs.log,
    )
    layout.finish({"drop": ["usr/lib/*.la", "usr/share/doc", "usr/share/info", "usr/share/man"]}, out)
    layout.finish(options, out)
    if not any(layout.files(out)):
        raise StandinError("the build installed nothing below $DESTDIR", hint=f"log: {inputs.log}")
    _expect_shared(options["build"], out, inputs.log)
    _check(out, [inputs.work, inputs.tree(SYSROOT)])


def _environment(
    options: Mapping[str, Any], target: Target, inputs: Inputs, out: Path, bin_folder: Path
) -> dict[str, str]:
    used = [inputs.tree(name) for name in options.get("uses", ())]
    host = this_host().debian_triple
    return {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "LC_ALL": "C",
        "CC": f"{target.triple}-cc",
        "AR": f"{target.triple}-ar",
        "RANLIB": f"{target.triple}-ranlib",
        "NM": f"{target.triple}-nm",
        "LD": "ld.lld",  # for libtool: this machine's own linker may not know the target
        "STRIP": f"{target.triple}-strip",
        "HOST_CC": "host-cc",
        "CFLAGS": "-O2 -pipe",
        "CPPFLAGS": " ".join(f"-I{tree}/usr/include" for tree in used),
        "LDFLAGS": " ".join(f"-L{tree}/usr/lib" for tree in used),
        "PKG_CONFIG_LIBDIR": ":".join(f"{tree}/usr/lib/pkgconfig" for tree in used),
        "TRIPLE": target.triple,
        "JOBS": str(min(os.cpu_count() or 1, 4)),
        "DESTDIR": str(out),
        "configure": f"--host={target.triple} --build={host} --prefix=/usr --sysconfdir=/etc",
    }


def _write_tools(folder: Path, target: Target, inputs: Inputs, out: Path) -> None:
    """The programs on PATH: the target's compiler under its triple, and one for this machine."""
    cross = [*_clang(inputs, *_COMPILE, *_LINK), *target.clang, f"--sysroot={inputs.tree(SYSROOT)}", *_LENIENT]
    tools = {
        f"{target.triple}-cc": [*cross, f"-ffile-prefix-map={inputs.work}=."],
        f"{target.triple}-ar": zig.command(inputs, "ar"),
        f"{target.triple}-ranlib": zig.command(inputs, "ranlib"),
        "ld.lld": zig.command(inputs, "ld.lld"),
        "make": [_machine_program("make"), f"DESTDIR={out}"],
        "host-cc": [*_clang(inputs, *_COMPILE), *_host_flags(inputs), *_LENIENT],
    }
    for name in ("nm", "strip", "readelf", "objdump"):
        program = inputs.tree(GNU_TOOLS) / "usr/bin" / f"{this_host().debian_triple}-{name}"
        tools[f"{target.triple}-{name}"] = command(program, inputs, this_host())
    for name, words in tools.items():
        layout.write(folder / name, f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')


def _write_debian_tool(path: Path, tool: Mapping[str, Any], inputs: Inputs) -> None:
    home = inputs.tree(tool["recipe"])
    words = command(home / tool["program"], inputs, this_host(), home / "lib")
    settings = [f"{name}={home / where}" for name, where in tool.get("variables", {}).items()]
    layout.write(path, f'#!/bin/sh\nexec {shlex.join(["env", *settings, *words])} "$@"\n')


def _machine_program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise StandinError(f"{name} is not on this machine", hint=f"install it: apt-get install {name}")
    return path


def _clang(inputs: Inputs, *unasked: str) -> list[str]:
    """clang with flags that it must not complain about where they mean nothing."""
    words = zig.command(inputs, "clang")
    return [*words, "--start-no-unused-arguments", *unasked, "--end-no-unused-arguments"]


def _host_flags(inputs: Inputs) -> list[str]:
    """Programs that run here while building: static, so that nothing of this machine is needed."""
    triple = this_host().debian_triple.replace("gnu", "musl")
    return [f"--target={triple}", f"--sysroot={inputs.tree(HOST_SYSROOT)}", "-static"]


def _expect_shared(script: str, out: Path, log: Path) -> None:
    """A configure whose linker failed once (memory, a kill) goes on and makes static libraries: never keep them."""
    static = [file.name for file in layout.files(out) if file.suffix == ".a"]
    if "--disable-static" in script and "--disable-shared" not in script and static:
        raise StandinError(
            f"no shared library came out, but {', '.join(static)}: its configure found no linker that works",
            hint=f"run this again; log: {log}",
        )


def _check(out: Path, foreign: Sequence[Path]) -> None:
    """Raise StandinError where a path of this machine went into the package."""
    wanted = [str(path).encode() for path in foreign]
    for path in layout.files(out):
        if path.is_symlink() or not path.stat().st_size:
            continue
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if any(content.find(word) >= 0 for word in wanted):
                kind = "program" if is_elf(path) else "file"
                raise StandinError(f"the {kind} {path.relative_to(out)} names a folder of this machine")
