"""install_tools.py: locked wheels become environments of another architecture's interpreters, none of which is run."""

import csv
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from .scripts import BUILD, module
from .wheels import record_line, wheel

TOOLS = module(BUILD / "install_tools.py")
PREFIX = "/opt/_internal/cpython-3.14.6"
ISOLATED = "/opt/_internal/tools/made-up"


def interpreter(*wheels: str, **changes: Any) -> dict[str, Any]:
    """The spec of what goes into an interpreter itself."""
    return {
        "prefix": PREFIX,
        "python": f"{PREFIX}/bin/python3.14",
        "library": "python3.14",
        "wheels": wheels,
        "requested": [],
        "commands": [],
        "venv": None,
        **changes,
    }


def isolated(*wheels: str, **changes: Any) -> dict[str, Any]:
    """The spec of a tool in an environment of its own."""
    venv = {"executable": f"{PREFIX}/bin/python3.14", "version": "3.14.6"}
    return interpreter(*wheels, prefix=ISOLATED, python=f"{ISOLATED}/bin/python", venv=venv, **changes)


def install(tmp_path: Path, *specs: Mapping[str, Any]) -> Path:
    out = tmp_path / "out"
    (tmp_path / "tools/wheels").mkdir(parents=True, exist_ok=True)
    (tmp_path / "tools/spec.json").write_text(json.dumps(specs))
    TOOLS.main(str(tmp_path / "tools"), str(out))
    return out


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    return tmp_path / "tools/wheels"


def below(out: Path, path: str) -> Path:
    return out / path.lstrip("/")


def tree(root: Path) -> dict[str, bytes | str]:
    """Every file's content and every link's target."""
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_pure_and_binary_files_scripts_headers_and_data_go_where_the_interpreter_has_them(
    tmp_path: Path, wheels: Path
) -> None:
    data = "made_up-1.0.data"
    made = wheel(
        wheels,
        name="made_up",
        tag="cp314-cp314-musllinux_1_2_s390x",
        files={
            "made_up/_native.so": "ELF",
            f"{data}/purelib/made_up/pure.py": "",
            f"{data}/headers/made_up.h": "",
            f"{data}/scripts/tool": "#!python\nprint()\n",
            f"{data}/data/share/made_up/x": "",
        },
    )
    out = install(tmp_path, interpreter(made.name))
    site = below(out, f"{PREFIX}/lib/python3.14/site-packages")
    assert (site / "made_up/_native.so").read_text() == "ELF"
    assert (site / "made_up/pure.py").is_file()
    assert below(out, f"{PREFIX}/include/python3.14/made_up/made_up.h").is_file()
    assert below(out, f"{PREFIX}/share/made_up/x").is_file()
    script = below(out, f"{PREFIX}/bin/tool")
    assert script.read_text() == f"#!{PREFIX}/bin/python3.14\nprint()\n"
    assert os.access(script, os.X_OK)


def test_console_scripts_start_with_the_targets_interpreter(tmp_path: Path, wheels: Path) -> None:
    made = wheel(wheels, name="made_up", scripts={"made-up": "made_up:main"})
    out = install(tmp_path, interpreter(made.name))
    script = below(out, f"{PREFIX}/bin/made-up")
    assert script.read_text().splitlines()[0] == f"#!{PREFIX}/bin/python3.14"
    assert str(tmp_path) not in script.read_text()
    assert os.access(script, os.X_OK)


def test_the_record_lists_every_file_with_its_sum_and_no_bytecode(tmp_path: Path, wheels: Path) -> None:
    made = wheel(wheels, name="made_up", scripts={"made-up": "made_up:main"})
    out = install(tmp_path, interpreter(made.name, requested=["made-up"]))
    site = below(out, f"{PREFIX}/lib/python3.14/site-packages")
    with (site / "made_up-1.0.dist-info/RECORD").open(newline="") as file:
        rows = {row[0]: row for row in csv.reader(file)}
    there = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    assert there | {"../../../bin/made-up"} == set(rows)
    for name, row in rows.items():
        if row[1]:
            assert record_line(name, (site / name).read_bytes()) == ",".join(row) + "\n"
    assert not list(out.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("asked", "expected"), [(["made-up"], True), (["made_up"], True), (["other"], False), ([], False)]
)
def test_what_was_asked_for_is_marked_so_and_what_it_brought_is_not(
    tmp_path: Path, wheels: Path, asked: Sequence[str], expected: bool
) -> None:
    """A wheel's file name has made_up where the project is called made-up."""
    made = wheel(wheels, name="made_up")
    out = install(tmp_path, interpreter(made.name, requested=asked))
    info = below(out, f"{PREFIX}/lib/python3.14/site-packages/made_up-1.0.dist-info")
    assert (info / "REQUESTED").exists() == expected
    assert (info / "INSTALLER").read_text() == "musllinux-factory"


def test_an_isolated_environment_is_what_venv_makes(tmp_path: Path, wheels: Path) -> None:
    made = wheel(wheels, name="made_up", scripts={"made-up": "made_up:main"})
    out = install(tmp_path, isolated(made.name, commands=["made-up"]))
    root = below(out, ISOLATED)
    assert (root / "bin/python").readlink() == Path(PREFIX, "bin/python3.14")
    assert (root / "bin/python3").readlink() == (root / "bin/python3.14").readlink() == Path("python")
    settings = dict(line.split(" = ") for line in (root / "pyvenv.cfg").read_text().splitlines())
    assert settings == {
        "home": f"{PREFIX}/bin",
        "include-system-site-packages": "false",
        "version": "3.14.6",
        "executable": f"{PREFIX}/bin/python3.14",
    }
    assert (root / "lib/python3.14/site-packages/made_up/__init__.py").is_file()
    assert (root / "bin/made-up").read_text().startswith(f"#!{ISOLATED}/bin/python\n")
    assert below(out, "/usr/local/bin/made-up").readlink() == Path(ISOLATED, "bin/made-up")


def test_a_command_that_the_wheels_do_not_bring_stops_the_build(tmp_path: Path, wheels: Path) -> None:
    made = wheel(wheels, name="made_up")
    with pytest.raises(SystemExit, match=f"{ISOLATED}: its wheels bring no command 'made-up'"):
        install(tmp_path, isolated(made.name, commands=["made-up"]))


def test_several_environments_stand_side_by_side(tmp_path: Path, wheels: Path) -> None:
    first, second = wheel(wheels, name="first"), wheel(wheels, name="second", scripts={"second": "second:main"})
    other = {"prefix": "/opt/_internal/tools/second", "python": "/opt/_internal/tools/second/bin/python"}
    out = install(tmp_path, isolated(first.name), {**isolated(second.name, commands=["second"]), **other})
    assert below(out, f"{ISOLATED}/lib/python3.14/site-packages/first").is_dir()
    assert below(out, "/opt/_internal/tools/second/lib/python3.14/site-packages/second").is_dir()
    assert not below(out, f"{ISOLATED}/lib/python3.14/site-packages/second").exists()


def test_two_installations_are_identical(tmp_path: Path, wheels: Path) -> None:
    made = wheel(wheels, name="made_up", scripts={"b": "made_up:b", "a": "made_up:a"})
    spec = isolated(made.name, commands=["a", "b"])
    first = tree(install(tmp_path, spec))
    (tmp_path / "out").rename(tmp_path / "before")
    assert tree(install(tmp_path, spec)) == first


def test_a_wheel_with_files_that_its_record_does_not_know_is_refused(tmp_path: Path, wheels: Path) -> None:
    """Contents were checked with the wheel's own sum; a RECORD with gaps would make uninstalling leave files."""
    made = wheel(wheels, name="made_up")
    with zipfile.ZipFile(made, "a") as more:
        more.writestr("made_up/unknown.py", "")
    with pytest.raises(Exception, match=r"made_up/unknown\.py"):
        install(tmp_path, interpreter(made.name))
    assert not below(tmp_path / "out", f"{PREFIX}/lib").exists()
