"""The probes on this machine's Python: they must be right before an image can be wrong."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from musllinux.model import Image
from musllinux.smoke.certificates import credentials
from musllinux.smoke.checks.interpreters import expected_modules, stdlib_data
from musllinux.smoke.context import PROBES


def probe(name: str, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(PROBES / name), *argv]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def test_the_stdlib_probe_names_each_module_that_cannot_be_imported() -> None:
    asked = {"names": ["json", "no_such_module", "left_alone"], "more": ["xml.no_such_part"], "skip": ["left_alone"]}
    done = probe("stdlib.py", stdin=json.dumps(asked))
    said = json.loads(done.stdout)
    assert set(said["broken"]) == {"no_such_module", "xml.no_such_part"}
    assert (said["imported"], said["c_decimal"], said["missing_hashes"]) == (1, True, [])


def test_the_whole_standard_library_is_importable_here_but_for_what_the_data_names(image: Image) -> None:
    modules = tuple(name for name in stdlib_data()["optional"] if name not in ("_dbm", "_gdbm", "_tkinter", "_zstd"))
    python = replace(image.interpreters[2], modules=modules)
    done = probe("stdlib.py", stdin=json.dumps(expected_modules(python)))
    assert json.loads(done.stdout.splitlines()[-1])["broken"] == {}


def test_modules_of_a_lacking_library_are_left_out_with_those_that_import_them(image: Image) -> None:
    python = replace(image.interpreters[0], modules=("_ssl", "_ctypes"))
    asked = expected_modules(python)
    assert {"_sqlite3", "sqlite3", "_tkinter", "turtle"} <= set(asked["skip"])
    assert not {"_ssl", "ssl", "_ctypes", "ctypes"} & set(asked["skip"])
    assert "sqlite3.dbapi2" not in asked["more"]
    assert {"_ssl", "_ctypes", "ctypes.util"} <= set(asked["more"])


def test_releases_that_do_not_list_their_modules_have_a_list_here(image: Image) -> None:
    listed = {one.series: expected_modules(one)["names"] for one in image.interpreters}
    assert len(listed["3.9"]) > 250
    assert all(names is None for series, names in listed.items() if series != "3.9")


def test_the_tls_probe_verifies_a_server_of_its_own(tmp_path: Path) -> None:
    for name, content in credentials().items():
        (tmp_path / name).write_bytes(content)
    done = probe("tls.py", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("TLSv1.")


def test_the_tls_probe_fails_where_any_server_is_trusted(tmp_path: Path) -> None:
    for name, content in credentials().items():
        (tmp_path / name).write_bytes(content)
    careless = "import ssl, sys; ssl.create_default_context = ssl._create_unverified_context\n"
    careless += f"sys.argv = ['tls.py', {str(tmp_path)!r}]; exec(open({str(PROBES / 'tls.py')!r}).read())"
    done = subprocess.run([sys.executable, "-c", careless], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0


def test_the_recursion_probe_passes_where_the_stack_is_large() -> None:
    assert "levels through C" in probe("recursion.py", "300").stdout


def test_the_recursion_probe_fails_where_python_stops_sooner_than_it_should() -> None:
    assert "stopped properly after" in probe("recursion.py", "100000").stderr


def test_the_years_probe_knows_2050_here() -> None:
    assert probe("years.py", "64", "64").stdout == "pointers of 64 bits, time_t of 64: 2050 is told\n"


@pytest.mark.parametrize(("coarse", "ending"), [((), 1), (("seconds",), 0)])
def test_the_years_probe_takes_a_time_without_nanoseconds_only_where_it_is_told_so(
    coarse: tuple[str, ...], ending: int, tmp_path: Path
) -> None:
    """As under qemu on s390x: the file's time is what was set, cut to seconds."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nset_to = os.utime\nos.utime = lambda path, ns: set_to(path, ns=(ns[0], ns[1] // 10**9 * 10**9))\n"
    )
    argv = [sys.executable, "-B", str(PROBES / "years.py"), "64", "64", *coarse]
    done = subprocess.run(argv, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, timeout=60, check=False)
    assert done.returncode == ending


def test_the_years_probe_fails_where_a_size_is_not_the_promised_one() -> None:
    assert probe("years.py", "32", "64").returncode


def test_the_identity_probe_speaks_json() -> None:
    said = json.loads(probe("identity.py").stdout)
    assert said["version"] == ".".join(map(str, sys.version_info[:3]))
    assert said["gil"] is True
