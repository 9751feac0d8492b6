"""DT_RELR unpacked: libraries made by a real linker behave as before, and garbage is an error."""

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import example, given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
R_X86_64_RELATIVE = 8
SOURCE = """
static int numbers[200];
int *pointers[200] = { POINTERS };
int sum(void) { int s = 0; for (int i = 0; i < 200; i++) { *pointers[i] += i; s += numbers[i]; } return s; }
""".replace("POINTERS", ", ".join(f"&numbers[{i}]" for i in range(200)))


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unpack_relr", ROOT / "images/files/build/unpack_relr.py")
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


unpack: Any = module().unpack
main: Any = module().main


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with DT_RELR."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine to make a library with")
    folder = tmp_path_factory.mktemp("relr")
    (folder / "it.c").write_text(SOURCE)
    path = folder / "libit.so"
    flags = ["-shared", "-fPIC", "-nostdlib", "-Wl,-z,pack-relative-relocs", "-Wl,--build-id=sha1"]
    made = subprocess.run([compiler, *flags, "-o", path, folder / "it.c"], check=False, capture_output=True, text=True)
    if made.returncode or "DT_RELR" not in tags(path):
        pytest.skip(f"this machine's linker cannot pack relative relocations: {made.stderr[:80]}")
    return path


def tags(path: Path) -> set[str]:
    with path.open("rb") as file:
        section: Any = ELFFile(file).get_section_by_name(".dynamic")
        return {str(tag.entry.d_tag) for tag in section.iter_tags()}


def test_the_library_works_as_before_and_asks_for_nothing_new(packed: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "libfresh.so"
    fresh.write_bytes(unpack(packed.read_bytes(), R_X86_64_RELATIVE))
    assert tags(fresh) & {"DT_RELR", "DT_RELRSZ", "DT_RELRENT"} == set()
    assert {"DT_RELA", "DT_RELASZ", "DT_RELAENT"} <= tags(fresh)
    assert ctypes.CDLL(str(fresh)).sum() == sum(range(200))


def test_sections_follow_so_that_patchelf_and_strip_find_the_table(packed: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "libfresh.so"
    fresh.write_bytes(unpack(packed.read_bytes(), R_X86_64_RELATIVE))
    with fresh.open("rb") as file:
        elf = ELFFile(file)
        assert not [s for s in elf.iter_sections() if s["sh_type"] == "SHT_RELR"]
        loads = [s["p_vaddr"] for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
    assert loads == sorted(loads)


def test_a_library_without_it_is_left_alone(packed: Path) -> None:
    once = unpack(packed.read_bytes(), R_X86_64_RELATIVE)
    assert unpack(once, R_X86_64_RELATIVE) is None


def test_folders_are_done_once_links_and_musl_not_at_all(packed: Path, tmp_path: Path) -> None:
    library = tmp_path / "libit.so.1.0"
    shutil.copy(packed, library)
    shutil.copy(packed, tmp_path / "ld-musl-x86_64.so.1")
    (tmp_path / "libit.so").symlink_to(library.name)
    (tmp_path / "libtext.so").write_text("INPUT(libit.so.1)")
    main(str(R_X86_64_RELATIVE), str(tmp_path))
    assert "DT_RELR" not in tags(library)
    assert "DT_RELR" in tags(tmp_path / "ld-musl-x86_64.so.1")
    assert (tmp_path / "libit.so").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "ld-musl-x86_64.so.1",
        "libit.so",
        "libit.so.1.0",
        "libtext.so",
    ]


@given(st.binary(min_size=64, max_size=200))
@example(bytes([2, *[0] * 27, 0x80, *[0] * 24, 1, *[0] * 10]))  # program headers beyond any file
def test_garbage_ends_in_one_line(data: bytes) -> None:
    import tempfile  # noqa: PLC0415 - hypothesis and tmp_path do not go together

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "libbad.so").write_bytes(b"\x7fELF" + data)
        try:
            main(str(R_X86_64_RELATIVE), folder)
        except SystemExit as error:
            assert "libbad.so: cannot unpack" in str(error)
