"""GCC and binutils: Debian's own (native or cross), retargeted to musl; one tree the packages are cut from.

Options:
    sources       the Debian packages (see sources.py)
    folder        GCC's folder below usr/lib there: gcc/<triple>/<version>, gcc-cross/... in cross compilers
    version_folder  the folder's name, Debian's major version
    drop          patterns below GCC's folder that an Alpine compiler does not have or that are glibc's
    drivers       programs that know the triple; they become usr/bin/<name>
    plain         programs of GCC that do not
    binutils      programs of binutils; they become usr/bin/<name>
    renamed       [[old, new, "code" | "data"], ...]   strings in the drivers
    specs         {replace: {name: text}, add: [[name, text], ...]}
    specs_add     more of the latter, for one architecture
    objects       {archive: {object: C text}}     members of GCC's archives that replace glibc-bound ones
"""

from pathlib import Path
from typing import Any

from standin import process
from standin.builders import layout, sources, specs, zig
from standin.builders.host import this_host
from standin.builders.names import expand, names_for
from standin.builders.programs import command, make_private, programs
from standin.builders.redirect import redirect
from standin.catalogue import Inputs, Recipe, Target
from standin.errors import StandinError

VERSION = 1

# What a C compiler for no particular libc needs to make an object for an archive like libgcc_eh.a.
_OBJECT_FLAGS = ("-O2", "-fPIC", "-ffreestanding", "-fno-stack-protector", "-c")


def build(recipe: Recipe, target: Target, inputs: Inputs, out: Path) -> None:
    """Fill `out` with the whole compiler, in Alpine's layout; StandinError if Debian's has changed."""
    options = expand(recipe.options, names_for(target))
    roots = sources.roots(options["sources"], target, inputs)
    home = out / "usr/lib/gcc" / target.triple / options["version_folder"]
    _place_compiler(options, roots, home)
    layout.finish({"drop": options["drop"]}, home)
    dump = _place_drivers(options, target, roots, inputs, out)
    for name in options["plain"]:
        suffix = f"{name}-{options['version_folder']}"
        layout.copy(_one(roots, f"usr/bin/{target.debian_triple}-{suffix}"), out / "usr/bin" / name)
    _place_binutils(options["binutils"], target, roots, out)
    _write_specs(options, dump, home)
    for archive, objects in options["objects"].items():
        for name, text in objects.items():
            _replace_object(home / archive, name, text, target, inputs)
    make_private(programs(out), inputs, this_host())


def _write_specs(options: dict[str, Any], dump: str, home: Path) -> None:
    changes = options["specs"]
    longer = [*changes["add"], *options.get("specs_add", ())]
    new = specs.edited(specs.parse(dump), changes["replace"], longer)
    layout.write(home / "specs", specs.written(new))


def _place_compiler(options: dict[str, Any], roots: list[Path], home: Path) -> None:
    for base in ("usr/lib", "usr/libexec"):
        layout.place(layout.rules([f"{base}/{options['folder']}/**"]), roots, home)


def _place_drivers(options: dict[str, Any], target: Target, roots: list[Path], inputs: Inputs, out: Path) -> str:
    """Lay out the drivers under their plain and their full names; answers with the built-in specs."""
    dump = ""
    for name in options["drivers"]:
        origin = _one(roots, f"usr/bin/{target.debian_triple}-{name}-{options['version_folder']}")
        dump = dump or process.run([*command(origin, inputs, this_host()), "-dumpspecs"])
        data = origin.read_bytes()
        for old, new, where in options["renamed"]:
            data = redirect(data, old, new, code=where == "code")
        driver = out / "usr/bin" / name
        layout.copy(origin, driver)
        driver.write_bytes(data)
        layout.link(out / "usr/bin" / f"{target.triple}-{name}", name)
    return dump


def _place_binutils(names: list[str], target: Target, roots: list[Path], out: Path) -> None:
    for name in names:
        origin = _one(roots, f"usr/bin/{target.debian_triple}-{name}")
        layout.copy(origin, out / "usr/bin" / name, follow=True)
        layout.link(out / "usr" / target.triple / "bin" / name, f"../../bin/{name}")
        layout.link(out / "usr/bin" / f"{target.triple}-{name}", name)


def _one(roots: list[Path], path: str) -> Path:
    for root in roots:
        if (root / path).exists():
            return root / path
    raise StandinError(f"no Debian package has {path}", hint="mend the recipe")


def _replace_object(archive: Path, name: str, text: str, target: Target, inputs: Inputs) -> None:
    source, made = inputs.work / f"{name}.c", inputs.work / name
    source.write_text(text, encoding="utf-8")
    compiler = zig.command(inputs, "clang")
    process.run([*compiler, *target.clang, *_OBJECT_FLAGS, source, "-o", made])
    process.run([*zig.command(inputs, "ar"), "rs", archive, made])
