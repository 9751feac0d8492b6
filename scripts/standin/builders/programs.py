"""Debian's programs under the stand-in's private glibc.

An Alpine base has no glibc. One package holds Debian's, with every library the programs use, in a folder of
its own; each program names that folder's loader and, as DT_RPATH, the folder itself. DT_RPATH (not RUNPATH)
also serves the libraries' own needs, and a user's LD_LIBRARY_PATH, which in an image points to musl's
libraries, does not override it.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from standin import process
from standin.builders.host import Host
from standin.builders.layout import files
from standin.catalogue import Inputs
from standin.errors import StandinError

# The recipe whose tree holds the glibc, and where that tree has it.
GLIBC = "standin-glibc"
FOLDER = Path("opt/standin/glibc")
PATCHELF = "tool-patchelf"


def is_elf(path: Path) -> bool:
    """Whether this is a plain file that starts with the ELF magic."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def needed(path: Path) -> list[str]:
    """The DT_NEEDED names of an ELF file; none where it has no dynamic section."""
    with path.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".dynamic")
        if not isinstance(section, DynamicSection):
            return []
        return [str(tag.needed) for tag in section.iter_tags("DT_NEEDED")]  # type: ignore[attr-defined]


def has_interpreter(path: Path) -> bool:
    """Whether an ELF file is a dynamically linked program (it names a loader)."""
    try:
        with path.open("rb") as stream:
            return any(segment["p_type"] == "PT_INTERP" for segment in ELFFile(stream).iter_segments())
    except ELFError:
        return False


def programs(folder: Path) -> list[Path]:
    """Every dynamically linked program below `folder`."""
    return [path for path in files(folder) if is_elf(path) and has_interpreter(path)]


def make_private(paths: Iterable[Path], inputs: Inputs, host: Host, *own: Path) -> None:
    """Let each program start through the private glibc; raises StandinError where that lacks a library.

    `own`: libraries that the programs' package itself puts beside glibc's.
    """
    folder = inputs.tree(GLIBC) / FOLDER
    patchelf = inputs.tree(PATCHELF) / "patchelf"
    brought = {path.name for path in own}
    for path in filter(is_elf, own):
        _require(folder, path, [name for name in needed(path) if name not in brought])
    for path in paths:
        _require(folder, path, [name for name in needed(path) if name not in brought])
        copied = inputs.work / "patchelf.tmp"
        shutil.copy2(path, copied)
        loader = Path("/", FOLDER, host.glibc_loader)
        process.run([patchelf, "--set-interpreter", loader, "--force-rpath", "--set-rpath", Path("/", FOLDER), copied])
        shutil.copyfile(copied, path)


def _require(folder: Path, program: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise StandinError(
            f"{program.name} needs {', '.join(missing)}, which {GLIBC} lacks",
            hint=f"add the Debian package to the recipe {GLIBC}",
        )


def check_closed(folder: Path) -> None:
    """Raise StandinError if a library in `folder` needs one that is not there."""
    for path in sorted(folder.iterdir()):
        if is_elf(path):
            _require(folder, path, needed(path))


def command(program: Path, inputs: Inputs, host: Host, *libraries: Path) -> list[str]:
    """How to run a Debian program here and now, before it is private: through the loader by hand."""
    folder = inputs.tree(GLIBC) / FOLDER
    search = ":".join(str(path) for path in (folder, *libraries))
    return [str(folder / host.glibc_loader), "--library-path", search, str(program)]
