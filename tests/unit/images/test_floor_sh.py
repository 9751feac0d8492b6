"""floor.sh: the stub libc exports what floor and libc have in common, with real kinds, sizes and shared addresses."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .scripts import BUILD, sh

MANY = [f"function{number}" for number in range(1001)]  # fewer would be taken for a mistake
SONAME = "libc.musl-made_up.so.1"


@dataclass(frozen=True, kw_only=True)
class Export:
    """A symbol as llvm-nm -D -P prints it: T, W functions; D, B, R, V data, V weak."""

    name: str
    kind: str = "T"
    value: int = 0
    size: int = 0

    @property
    def line(self) -> str:
        return f"{self.name} {self.kind} {self.value:x} {self.size:x}"

    @property
    def is_data(self) -> bool:
        return self.kind in "DBRV"

    @property
    def is_weak(self) -> bool:
        return self.kind in "WV"


@dataclass(frozen=True, kw_only=True)
class Stub:
    """What the assembly says: names with their binding, functions, and data by place in .bss."""

    weak: frozenset[str]
    strong: frozenset[str]
    functions: frozenset[str]
    objects: dict[str, tuple[int, int]]  # name: offset in .bss, size
    end: int

    @property
    def names(self) -> frozenset[str]:
        return self.weak | self.strong


def parsed(text: str) -> Stub:
    """The assembly of a stub, laid out as an assembler would."""
    weak: set[str] = set()
    strong: set[str] = set()
    functions: set[str] = set()
    sizes: dict[str, int] = {}
    objects: dict[str, tuple[int, int]] = {}
    offset, section = 0, ""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == ".weak":
            assert rest not in weak | strong, f"{rest} twice"
            weak.add(rest)
        elif word == ".globl":
            assert rest not in weak | strong, f"{rest} twice"
            strong.add(rest)
        elif word == ".type" and rest.endswith("%function"):
            functions.add(rest.partition(",")[0])
        elif word == ".size":
            sizes[rest.partition(",")[0]] = int(rest.partition(",")[2], 0)
        elif word in (".text", ".bss", ".section"):
            section = word
        elif word == ".balign":
            offset = -(-offset // int(rest)) * int(rest)
        elif word == ".skip":
            offset += int(rest, 0)
        elif word.endswith(":") and section == ".bss":
            objects[word[:-1]] = (offset, sizes[word[:-1]])
    return Stub(
        weak=frozenset(weak), strong=frozenset(strong), functions=frozenset(functions), objects=objects, end=offset
    )


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An llvm-nm that prints the file it is given, and a compiler that keeps the assembly."""
    folder = tmp_path_factory.mktemp("tools")
    nm, compiler = folder / "llvm-nm", folder / "made-up-cc"
    nm.write_text('#!/bin/sh\n[ "$1 $2 $3" = "-D --defined-only -P" ] || exit 9\ncat "$4"\n')
    # `-c -o OBJECT SOURCE`, then `-shared -nostdlib -Wl,-soname,NAME -o OUT OBJECT`
    compiler.write_text(
        '#!/bin/sh\necho "$*" >>"$(dirname "$0")/calls"\nwhile [ "$1" != -o ]; do shift; done\ncp "$3" "$2"\n'
    )
    for program in (nm, compiler):
        program.chmod(0o755)
    return folder


def stubbed(tools: Path, folder: Path, floor: list[str], exports: list[Export]) -> subprocess.CompletedProcess[str]:
    """Run floor.sh with the made-up tools; the stub is folder/out/libc.so."""
    folder.mkdir(exist_ok=True)
    (folder / "symbols").write_text("".join(f"{name}\n" for name in sorted(floor)))
    (folder / "libc").write_text("".join(f"{export.line}\n" for export in exports))
    argv: list[Path | str] = [
        folder / "symbols",
        folder / "libc",
        SONAME,
        folder / "out/libc.so",
        "made-up-cc",
        "-flag",
    ]
    return sh(BUILD / "floor.sh", *argv, env={"PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin"})


def stub(tools: Path, folder: Path, floor: list[str], exports: list[Export]) -> Stub:
    functions = [Export(name=name, value=4096 + index) for index, name in enumerate(MANY)]
    done = stubbed(tools, folder, [*MANY, *floor], [*functions, *exports])
    assert (done.returncode, done.stderr) == (0, "")
    return parsed((folder / "out/libc.so").read_text())


ENVIRON = [
    Export(name=name, kind=kind, value=0x1000, size=8)
    for name, kind in [("environ", "V"), ("__environ", "B"), ("_environ", "V"), ("___environ", "V")]
]


def test_only_what_floor_and_libc_have_in_common_is_exported(tools: Path, tmp_path: Path) -> None:
    exports = [Export(name="statx"), Export(name="read"), *ENVIRON]
    made = stub(tools, tmp_path / "x", ["read", "environ", "__environ", "gone_since"], exports)
    assert made.names == {*MANY, "read", "environ", "__environ"}


def test_functions_are_functions_and_data_is_data_with_its_size(tools: Path, tmp_path: Path) -> None:
    exports = [
        Export(name="read"),
        Export(name="pread", kind="W"),
        Export(name="stdin", kind="D", value=0x10, size=8),
        Export(name="in6addr_any", kind="R", value=0x40, size=16),
        Export(name="sys_errlist", kind="B", value=0x80, size=1000),
    ]
    made = stub(tools, tmp_path / "x", [e.name for e in exports], exports)
    assert made.functions == {*MANY, "read", "pread"}
    assert {name: size for name, (_, size) in made.objects.items()} == {
        "stdin": 8,
        "in6addr_any": 16,
        "sys_errlist": 1000,
    }


def test_weak_names_stay_weak(tools: Path, tmp_path: Path) -> None:
    made = stub(
        tools, tmp_path / "x", ["read", "pread", "environ", "__environ"], [Export(name="pread", kind="W"), *ENVIRON]
    )
    assert made.weak == {"pread", "environ"}


def test_names_of_one_object_share_its_place(tools: Path, tmp_path: Path) -> None:
    """A copy relocation of environ must move __environ with it."""
    other = Export(name="stdin", kind="D", value=0x2000, size=8)
    made = stub(tools, tmp_path / "x", [*(e.name for e in ENVIRON), "stdin"], [*ENVIRON, other])
    assert len({made.objects[e.name][0] for e in ENVIRON}) == 1
    assert made.objects["stdin"][0] != made.objects["environ"][0]


def test_an_object_has_room_for_the_largest_of_its_names(tools: Path, tmp_path: Path) -> None:
    exports = [Export(name=f"name{size:x}", kind="D", value=0x10, size=size) for size in (9, 0x10, 0xFFF, 0x1000, 8)]
    made = stub(tools, tmp_path / "x", [e.name for e in exports], exports)
    assert made.end >= 0x1000
    assert {name: size for name, (_, size) in made.objects.items()} == {e.name: e.size for e in exports}


def test_versions_of_names_do_not_count(tools: Path, tmp_path: Path) -> None:
    made = stub(tools, tmp_path / "x", ["read"], [Export(name="read@@MUSL_1"), Export(name="read@MUSL_0")])
    assert "read" in made.names


def test_the_stub_is_linked_under_musls_own_name_without_a_libc(tools: Path, tmp_path: Path) -> None:
    (tools / "calls").unlink(missing_ok=True)
    stub(tools, tmp_path / "x", [], [])
    compiled, linked = (tools / "calls").read_text().splitlines()
    assert compiled.startswith("-flag -c -o ")
    assert linked.startswith(f"-flag -shared -nostdlib -Wl,-soname,{SONAME} -o {tmp_path}/x/out/libc.so ")


def test_a_stub_that_would_be_nearly_empty_stops_the_build(tools: Path, tmp_path: Path) -> None:
    done = stubbed(tools, tmp_path / "x", ["read"], [Export(name="read")])
    assert done.returncode == 1
    assert done.stderr == f"the stub libc for {SONAME} is nearly empty: {tmp_path}/x/libc\n"
    assert not (tmp_path / "x/out/libc.so").exists()


def test_a_libc_that_cannot_be_read_stops_the_build(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "symbols").write_text("read\n")
    argv: list[Path | str] = [tmp_path / "symbols", tmp_path / "none", SONAME, tmp_path / "out/libc.so", "made-up-cc"]
    done = sh(BUILD / "floor.sh", *argv, env={"PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin"})
    assert done.returncode != 0
    assert not (tmp_path / "out").exists()


def test_the_same_libc_gives_the_same_stub(tools: Path, tmp_path: Path) -> None:
    exports = [*ENVIRON, Export(name="stdin", kind="D", value=0x2000, size=8)]
    for name in ("first", "second"):
        stub(tools, tmp_path / name, [e.name for e in exports], exports)
    assert (tmp_path / "first/out/libc.so").read_bytes() == (tmp_path / "second/out/libc.so").read_bytes()


NAMES = [f"name{number}" for number in range(12)]
some_exports = st.lists(
    st.builds(
        Export,
        name=st.sampled_from(NAMES),
        kind=st.sampled_from("TWDBRV"),
        value=st.sampled_from([0x10, 0x20, 0x1230]),
        size=st.sampled_from([1, 8, 0xF, 0x10, 0x98, 0x1000]),
    ),
    unique_by=lambda export: export.name,
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(floor=st.sets(st.sampled_from([*NAMES, "elsewhere"])), exports=some_exports)
def test_whatever_a_libc_exports_the_stub_is_its_image(
    tools: Path, tmp_path_factory: pytest.TempPathFactory, floor: set[str], exports: list[Export]
) -> None:
    made = stub(tools, tmp_path_factory.mktemp("stub"), sorted(floor), exports)
    common = [export for export in exports if export.name in floor]
    assert made.names == {*MANY, *(e.name for e in common)}
    assert made.weak == {e.name for e in common if e.is_weak}
    assert made.functions == {*MANY, *(e.name for e in common if not e.is_data)}
    assert set(made.objects) == {e.name for e in common if e.is_data}
    data = [e for e in common if e.is_data]
    for one in data:
        offset, size = made.objects[one.name]
        assert size == one.size
        assert offset + size <= made.end
        for other in data:
            same = made.objects[other.name][0] == offset
            assert same == (other.value == one.value)
            if not same:  # objects do not overlap
                start = made.objects[other.name][0]
                assert offset + size <= start or start + made.objects[other.name][1] <= offset


# --- with a real compiler -------------------------------------------------------------------------------------------

REAL = [name for name in ("gcc", "llvm-nm", "nm") if shutil.which(name)]
needs_compiler = pytest.mark.skipif(
    "gcc" not in REAL or not {"llvm-nm", "nm"} & set(REAL), reason="no gcc or no nm here (Debian: gcc binutils)"
)


@pytest.fixture(scope="module")
def libc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared library with what is special about musl's: aliases, weak names, data of every section."""
    folder = tmp_path_factory.mktemp("libc")
    functions = "".join(f"int {name}(void) {{ return {i}; }}\n" for i, name in enumerate(MANY))
    (folder / "libc.c").write_text(
        functions
        + """
char **__environ; extern char **environ __attribute__((weak, alias("__environ")));
int stdin_like = 3; const char constant[24] = "x"; char room[4000];
extern int renamed __attribute__((alias("stdin_like")));
int __friendly(void) { return 0; } int friendly(void) __attribute__((weak, alias("__friendly")));
int newer_than_the_floor(void) { return 1; } static int hidden(void) { return 2; }
int uses_hidden(void) { return hidden(); }
"""
    )
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-nostdlib", "-o", folder / "libc.so", folder / "libc.c"], check=True
    )
    return folder / "libc.so"


def dynamic_symbols(path: Path) -> dict[str, tuple[str, str, int, int]]:
    """Of each exported name: binding, type, address, size."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        return {
            symbol.name: (
                symbol["st_info"]["bind"],
                symbol["st_info"]["type"],
                symbol["st_value"],
                symbol["st_size"],
            )
            for symbol in table.iter_symbols()
            if symbol.name and symbol["st_shndx"] != "SHN_UNDEF"
        }


@pytest.fixture(scope="module")
def real_stub(tmp_path_factory: pytest.TempPathFactory, libc: Path) -> Path:
    folder = tmp_path_factory.mktemp("real")
    if "llvm-nm" not in REAL:  # binutils' nm prints the same
        (folder / "llvm-nm").symlink_to(str(shutil.which("nm")))
    names = [name for name in dynamic_symbols(libc) if name not in ("newer_than_the_floor",)]
    (folder / "symbols").write_text("".join(f"{name}\n" for name in [*reversed(names), "long_gone"]))
    path = f"{folder}:/usr/local/bin:/usr/bin:/bin"
    argv: list[Path | str] = [folder / "symbols", libc, SONAME, folder / "libc.so", "gcc"]
    done = sh(BUILD / "floor.sh", *argv, env={"PATH": path})
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "libc.so"


@needs_compiler
def test_a_real_stub_exports_the_floor_with_the_real_bindings_types_and_sizes(libc: Path, real_stub: Path) -> None:
    real, made = dynamic_symbols(libc), dynamic_symbols(real_stub)
    assert set(real) - set(made) == {"newer_than_the_floor"}
    assert set(made) <= set(real)
    for name, (binding, kind, _, size) in made.items():
        assert (binding, kind) == real[name][:2], name
        assert kind == "STT_FUNC" or size == real[name][3], name
    for one, other in (("environ", "__environ"), ("stdin_like", "renamed")):
        assert made[one][2] == made[other][2]
    assert made["room"][2] != made["constant"][2]


@needs_compiler
def test_a_real_stub_has_musls_name_and_needs_nothing(real_stub: Path) -> None:
    with real_stub.open("rb") as file:
        dynamic = ELFFile(file).get_section_by_name(".dynamic")
        assert isinstance(dynamic, DynamicSection)
        tags = {tag.entry.d_tag: tag for tag in dynamic.iter_tags()}
    assert getattr(tags["DT_SONAME"], "soname") == SONAME  # noqa: B009 - pyelftools sets it at run time
    assert "DT_NEEDED" not in tags


@needs_compiler
@pytest.mark.parametrize(("name", "links"), [("function7", True), ("newer_than_the_floor", False)])
def test_a_check_for_a_function_finds_what_the_floor_has_and_no_more(
    tmp_path: Path, real_stub: Path, name: str, links: bool
) -> None:
    """As autoconf's AC_CHECK_FUNC, CMake's check_function_exists and Meson's has_function ask."""
    (tmp_path / "check.c").write_text(f"char {name}(void); void _start(void) {{ {name}(); }}\n")
    argv: list[Path | str] = [
        "gcc",
        "-nostdlib",
        "-nostartfiles",
        "-o",
        tmp_path / "check",
        tmp_path / "check.c",
        real_stub,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == links
    assert links or re.search(f"undefined (reference to|symbol:?) .*{name}", done.stderr)
