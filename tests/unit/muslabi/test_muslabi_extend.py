"""Extending the database from libc files, and the database against real ones."""

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.muslabi.elfmaker import Recipe, make

import muslabi
from muslabi import database, extend

DB = database.load()
DATA = Path(muslabi.__file__).parent / "data"
MINIROOTFS = Path(muslabi.__file__).resolve().parents[3] / "shared" / "minirootfs"
ARCHES = {"x86": "i686", "armv7": "armv7l"}


def libc(folder: Path, arch: str, names: set[str], version: str = "1.2.7") -> Path:
    path = folder / f"ld-musl-{arch}.so.1"
    text = b"musl libc\0" + version.encode() + b"\0"
    path.write_bytes(make(Recipe(arch=arch, defined=sorted(names), needed=[], text=text)))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path / "data")
    return tmp_path / "data"


def reread(data: Path) -> database.Database:
    files = ("musl-symbols.json", "alpine.json", "time64.json", "features.json")
    return database.build(*(json.loads((data / name).read_text()) for name in files))


def test_a_new_upstream_release_is_appended(tmp_path: Path, data: Path) -> None:
    newest = DB.exports("x86_64", "1.2.6")
    path = libc(tmp_path, "x86_64", (set(newest) - {"renameat2"}) | {"brand_new"})
    assert extend.main([str(path), "--write", str(data), "--origin", "a test"]) == 0
    grown = reread(data)
    assert grown.versions[-1] == "1.2.7"
    assert grown.exports("x86_64", "1.2.7") == newest - {"renameat2"} | {"brand_new"}
    for version in DB.versions:
        assert grown.exports("x86_64", version) == DB.exports("x86_64", version)
    assert grown.exports("aarch64", "1.2.7") == DB.exports("aarch64", "1.2.6")


def test_a_distributions_deviations_become_a_release(tmp_path: Path, data: Path) -> None:
    upstream = set(DB.exports("s390x", "1.2.6"))
    path = libc(tmp_path, "s390x", (upstream - {"tmpnam"}) | {"fts_open"}, "1.2.6")
    arguments = ["--alpine", "3.25", "--package", "1.2.6-r9", "--end-of-life", "2029-05-01"]
    assert extend.main([str(path), *arguments, "--write", str(data)]) == 0
    grown = reread(data)
    assert grown.release_exports("s390x", "3.25") == upstream - {"tmpnam"} | {"fts_open"}
    assert grown.releases[-1].version == "3.25"


def test_without_write_it_only_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = libc(tmp_path, "x86_64", set(DB.exports("x86_64", "1.2.5")) | {"fts_open"}, "1.2.5-r1")
    assert extend.main([str(path)]) == 0
    assert "extra: fts_open; missing: none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("contents", "words"),
    [(b"text", "shorter"), (make(Recipe(defined=["malloc"])), "not a musl libc")],
)
def test_what_is_no_libc_is_refused_and_nothing_written(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], contents: bytes, words: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(contents)
    before = {one: one.read_bytes() for one in data.iterdir()}
    assert extend.main([str(path), "--write", str(data)]) == 2
    assert words in capsys.readouterr().err
    assert {one: one.read_bytes() for one in data.iterdir()} == before


def test_files_of_two_releases_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"__libc_start_main"}
    paths = [libc(tmp_path, "x86_64", names, "1.2.5"), libc(tmp_path, "s390x", names, "1.2.6")]
    assert extend.main([str(path) for path in paths]) == 2
    assert "one release" in capsys.readouterr().err


@given(st.integers(0, (1 << len(DB.versions)) - 1))
def test_a_mask_becomes_a_spec_and_back(mask: int) -> None:
    assert DB._spec_mask(extend.spec_of(mask, list(DB.versions))) == mask


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_rendered_data_read_back_are_the_same(value: object) -> None:
    assert json.loads(extend.render(value)) == value


def test_the_shipped_data_are_as_the_command_would_write_them() -> None:
    for name in ("musl-symbols.json", "alpine.json"):
        text = (DATA / name).read_text(encoding="utf-8")
        assert extend.render(json.loads(text)) + "\n" == text


def minirootfs() -> list[Path]:
    return sorted(MINIROOTFS.glob("alpine-minirootfs-*.tar.gz"))


@pytest.mark.skipif(not minirootfs(), reason="no Alpine minirootfs here: shared material of the workplace")
@pytest.mark.parametrize("archive", minirootfs(), ids=lambda path: path.name[18:-7])
def test_the_database_says_exactly_what_a_real_loader_exports(archive: Path, tmp_path: Path) -> None:
    found = re.fullmatch(r"alpine-minirootfs-(\d+\.\d+)\.\d+-(\w+)\.tar\.gz", archive.name)
    assert found is not None
    release, arch = found[1], ARCHES.get(found[2], found[2])
    with tarfile.open(archive) as tar:
        member = f"./lib/{DB.arches[arch].loader}"
        stream = tar.extractfile(member)
        assert stream is not None
        path = tmp_path / "libc"
        path.write_bytes(stream.read())
    real = extend.read_libc(path)
    assert (real.arch, real.version) == (arch, DB.release(release).musl)
    assert real.exports == DB.release_exports(arch, release)
