"""A package put together from files of other packages: Debian's, wheels', or trees built before.

Options:
    sources     where files come from (see sources.py)
    take, drop, edit, executable, write, links   which files, and what is done to them (see layout.py)
    private     true where programs are to start through the private glibc (see programs.py)
    closed      a folder whose libraries must find everything they need in it
    libraries   {pattern: {soname: name, needed: {old-pattern: new}}}: names in ELF files put right, no RPATH
"""

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from standin import process
from standin.builders import layout, sources
from standin.builders.host import this_host
from standin.builders.names import names_for
from standin.builders.programs import PATCHELF, check_closed, make_private, needed, programs
from standin.catalogue import Inputs, Recipe, Target
from standin.fields import expand

VERSION = 1


def build(recipe: Recipe, target: Target, inputs: Inputs, out: Path) -> None:
    """Fill `out` as the recipe's options say. Raises StandinError for anything upstream changed."""
    options = expand(recipe.options, names_for(target))
    roots = sources.roots(options.get("sources", ()), target, inputs)
    layout.place(layout.rules(options.get("take", ())), roots, out)
    layout.finish(options, out)
    for pattern, names in options.get("libraries", {}).items():
        for library in layout.matching(out, pattern):
            if not library.is_symlink():
                _rename(library, names, inputs)
    if options.get("closed"):
        check_closed(out / options["closed"])
    if options.get("private"):
        make_private(programs(out), inputs, this_host())


def _rename(library: Path, names: Mapping[str, Any], inputs: Inputs) -> None:
    """Undo what auditwheel did to a library: its own name, the names it asks for, its RPATH."""
    arguments: list[str] = ["--remove-rpath"]
    if "soname" in names:
        arguments += ["--set-soname", names["soname"]]
    for wanted in needed(library):
        for pattern, new in names.get("needed", {}).items():
            if fnmatch.fnmatch(wanted, pattern):
                arguments += ["--replace-needed", wanted, new]
    process.run([inputs.tree(PATCHELF) / "patchelf", *arguments, library])
