"""GCC's files for linking (crt*.o, libgcc.a, libgcc_eh.a) and its headers: Debian's, less what is bound to glibc.

Options:
    sources, folder, version_folder, drop   as in gcc.py
    objects     {archive: {object: C text}}: members that take the place of glibc-bound ones, compiled by clang
"""

from pathlib import Path

from standin import process
from standin.builders import layout, sources, zig
from standin.builders.names import names_for
from standin.catalogue import Inputs, Recipe, Target
from standin.fields import expand

VERSION = 1

# What a C compiler for no particular libc needs to make an object for an archive like libgcc_eh.a.
_FLAGS = ("-O2", "-fPIC", "-ffreestanding", "-fno-stack-protector", "-c")


def build(recipe: Recipe, target: Target, inputs: Inputs, out: Path) -> None:
    """Fill usr/lib/gcc/<triple>/<version>."""
    options = expand(recipe.options, names_for(target))
    roots = sources.roots(options["sources"], target, inputs)
    home = out / "usr/lib/gcc" / target.triple / options["version_folder"]
    layout.place(layout.rules([f"usr/lib/{options['folder']}/**"]), roots, home)
    layout.finish({"drop": options["drop"]}, home)
    for archive, objects in options["objects"].items():
        for name, text in objects.items():
            _replace(home / archive, name, text, target, inputs)


def _replace(archive: Path, name: str, text: str, target: Target, inputs: Inputs) -> None:
    source, made = inputs.work / f"{name}.c", inputs.work / name
    source.write_text(text, encoding="utf-8")
    process.run([*zig.command(inputs, "clang"), *target.clang, *_FLAGS, source, "-o", made])
    process.run([*zig.command(inputs, "ar"), "rs", archive, made])
