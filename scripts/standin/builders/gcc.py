"""GCC and binutils: Debian's own (native or cross), retargeted to musl; one tree the packages are cut from.

Options:
    sources       the Debian packages (see sources.py)
    folder        a pattern for GCC's folder below usr/lib there: gcc/<triple>/<version>, gcc-cross/...
    version_folder  the folder's name, Debian's major version
    drop          patterns below GCC's folder that an Alpine compiler does not have or that are glibc's
    objects       the recipe (see gcc_objects.py) whose files for linking go into GCC's folder
    strong        {archive: prefix}: archives there whose weak references of such names are made strong (see strong.py)
    drivers       programs that know the triple; they become usr/bin/<name>
    plain         programs of GCC that do not
    binutils      programs of binutils; they become usr/bin/<name>
    own           patterns of libraries that only these programs use (cross binutils have such); they go beside glibc's
    renamed       [[old, new, "code" | "data"], ...]   strings in the drivers
    specs         {replace: {name: text}, add: [[name, text], ...]}
    specs_add     more of the latter, for one architecture
"""

from pathlib import Path
from typing import Any

from standin import process
from standin.builders import layout, sources, specs
from standin.builders.host import this_host
from standin.builders.names import names_for
from standin.builders.programs import FOLDER, command, make_private, programs
from standin.builders.redirect import redirect
from standin.builders.strong import strengthen
from standin.catalogue import Inputs, Recipe, Target
from standin.errors import StandinError
from standin.fields import expand

VERSION = 1


def build(recipe: Recipe, target: Target, inputs: Inputs, out: Path) -> None:
    """Fill `out` with the whole compiler, in Alpine's layout; StandinError if Debian's has changed."""
    options = expand(recipe.options, names_for(target))
    roots = sources.roots(options["sources"], target, inputs)
    home = out / "usr/lib/gcc" / target.triple / options["version_folder"]
    _place_compiler(options, roots, home)
    layout.finish({"drop": options["drop"]}, home)
    layout.place(layout.rules(["usr/lib/gcc/**"]), [inputs.tree(options["objects"])], out / "usr/lib/gcc")
    for archive, prefix in options.get("strong", {}).items():
        strengthen(home / archive, prefix)
    dump = _place_drivers(options, target, roots, inputs, out)
    for name in options["plain"]:
        suffix = f"{name}-{options['version_folder']}"
        layout.copy(_one(roots, f"usr/bin/{target.debian_triple}-{suffix}"), out / "usr/bin" / name)
    _place_binutils(options["binutils"], target, roots, out)
    _write_specs(options, dump, home)
    for pattern in options.get("own", ()):
        layout.place(layout.rules([{"from": pattern, "to": f"{FOLDER}/"}]), roots, out)
    make_private(programs(out), inputs, this_host(), *layout.files(out / FOLDER))


def _write_specs(options: dict[str, Any], dump: str, home: Path) -> None:
    changes = options["specs"]
    longer = [*changes["add"], *options.get("specs_add", ())]
    new = specs.edited(specs.parse(dump), changes["replace"], longer)
    layout.write(home / "specs", specs.written(new))


def _place_compiler(options: dict[str, Any], roots: list[Path], home: Path) -> None:
    layout.place(layout.rules([f"usr/lib/{options['folder']}/**"]), roots, home)
    later = f"usr/libexec/{options['folder']}"  # where Debian has the programs from GCC 13 on
    if any(layout.matching(root, later) for root in roots):
        layout.place(layout.rules([f"{later}/**"]), roots, home)


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
