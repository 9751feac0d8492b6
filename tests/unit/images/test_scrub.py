"""scrub.py: what builds extensions keeps no trace of the cross build, in whatever order the traces stand."""

import ast
import json
import pprint
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .scripts import BUILD, module

SCRUB = module(BUILD / "scrub.py")

# What configure was really told, each with what must be left of it.
ARGUMENTS = {
    "'--build=x86_64-build-linux-musl'": "",
    "'--host=aarch64-alpine-linux-musl'": "",
    "'--with-build-python=/build-python/python3.14'": "",
    "'build_alias=x86_64-build-linux-musl'": "",
    "'host_alias=aarch64-alpine-linux-musl'": "",
    "'CPPFLAGS=-I/sysroot/usr/include -I/sysroot/usr/include/uuid'": "",
    "'LDFLAGS=-L/sysroot/usr/lib'": "",
    "'CONFIG_SITE=/b/config.site'": "",
    "'PKG_CONFIG_LIBDIR=/sysroot/usr/lib/pkgconfig:/sysroot/usr/share/pkgconfig'": "",
    "'PKG_CONFIG_SYSROOT_DIR=/sysroot'": "",
    "'READELF=aarch64-alpine-linux-musl-readelf'": "'READELF=readelf'",
    "'--prefix=/opt/_internal/cpython-3.14.6'": "'--prefix=/opt/_internal/cpython-3.14.6'",
    "'--with-dbmliborder=gdbm'": "'--with-dbmliborder=gdbm'",
    "'--disable-gil'": "'--disable-gil'",
    "'CC=gcc'": "'CC=gcc'",
}
FLAGS = {
    "-I/sysroot/usr/include": "",
    "-I/sysroot/usr/include/uuid": "",
    "-L/sysroot/usr/lib": "",
    "-isystem/sysroot/usr/include": "",
    "-mno-omit-leaf-frame-pointer": "",
    "-Wno-unknown-warning-option": "",
    "-Wunreachable-code": "",
    "-O3": "-O3",
    "-fno-omit-frame-pointer": "-fno-omit-frame-pointer",
    "-Wunreachable-code-aggressive": "-Wunreachable-code-aggressive",
    "-Wl,-z,stack-size=1048576": "-Wl,-z,stack-size=1048576",
    "-I./Include": "-I./Include",
    "-I/usr/src/python/Include": "-I./Include",
    "-march=armv7-a": "-march=armv7-a",
}
arguments = st.lists(st.sampled_from(list(ARGUMENTS)), max_size=12)
flags = st.lists(st.sampled_from(list(FLAGS)), max_size=12)


def expected(words: list[str], table: dict[str, str]) -> str:
    return " ".join(table[word] for word in words if table[word])


def squeezed(text: str) -> str:
    return " ".join(text.split())


def traces(text: str) -> list[str]:
    return [trace for trace in SCRUB.TRACES if trace in text]


@given(arguments, flags, flags)
def test_a_makefile_keeps_what_is_the_images_own_in_its_order(
    args: list[str], cflags: list[str], ld: list[str]
) -> None:
    text = f"CONFIG_ARGS=\t{' '.join(args)}\nCFLAGS=\t\t{' '.join(cflags)}\nLDFLAGS=\t{' '.join(ld)}\nEXE=\n"
    scrubbed = SCRUB.scrub(text)
    assert traces(scrubbed) == []
    values = dict(line.partition("=")[::2] for line in scrubbed.splitlines())
    assert squeezed(values["CONFIG_ARGS"]) == expected(args, ARGUMENTS)
    assert squeezed(values["CFLAGS"]) == expected(cflags, FLAGS)
    assert squeezed(values["LDFLAGS"]) == expected(ld, FLAGS)
    assert values["EXE"] == ""


@given(arguments, flags)
def test_sysconfig_data_stays_python_with_the_same_values(args: list[str], cflags: list[str]) -> None:
    variables = {"CONFIG_ARGS": " ".join(args), "PY_CFLAGS": " ".join(cflags), "CC": "gcc", "SIZEOF_LONG": 8}
    text = f"build_time_vars = {pprint.pformat(variables)}\n"  # as Lib/sysconfig does
    scrubbed = SCRUB.scrub(text)
    assert traces(scrubbed) == []
    found = ast.literal_eval(scrubbed.partition("=")[2].strip())
    assert squeezed(found["CONFIG_ARGS"]) == expected(args, ARGUMENTS)
    assert squeezed(found["PY_CFLAGS"]) == expected(cflags, FLAGS)
    assert (found["CC"], found["SIZEOF_LONG"]) == ("gcc", 8)


@given(arguments, flags)
def test_sysconfig_json_stays_json_with_the_same_values(args: list[str], cflags: list[str]) -> None:
    text = json.dumps({"CONFIG_ARGS": " ".join(args), "LDFLAGS": " ".join(cflags), "CC": "gcc"}, indent=2)
    scrubbed = SCRUB.scrub(text)
    assert traces(scrubbed) == []
    found = json.loads(scrubbed)
    assert squeezed(found["CONFIG_ARGS"]) == expected(args, ARGUMENTS)
    assert squeezed(found["LDFLAGS"]) == expected(cflags, FLAGS)
    assert found["CC"] == "gcc"


@given(arguments, flags)
def test_what_is_clean_stays_as_it_is(args: list[str], cflags: list[str]) -> None:
    text = f"CONFIG_ARGS=\t{expected(args, ARGUMENTS)}\nCFLAGS=\t{expected(cflags, FLAGS)}\n"
    assert SCRUB.scrub(text) == text


@given(st.lists(st.sampled_from([*FLAGS, *ARGUMENTS, *SCRUB.TRACES, "--sysroot=/sysroot", '"', "'", "\n"])))
def test_what_cannot_be_cleaned_is_never_let_pass(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    """Whatever a new CPython writes: afterwards it is clean, or the build has stopped."""
    out = tmp_path_factory.mktemp("out")
    place = made(out, "bin/python3.14-config", " ".join(words))
    try:
        SCRUB.main(str(out), PREFIX)
    except SystemExit as stop:
        assert traces(str(stop.code))
    else:
        assert traces(place.read_text()) == []


PREFIX = "/opt/_internal/cpython-3.14.6"
LIBRARY = "lib/python3.14"


def made(out: Path, name: str, text: str) -> Path:
    place = out / PREFIX.lstrip("/") / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


SCRUBBED = [
    f"{LIBRARY}/_sysconfigdata__linux_aarch64-linux-musl.py",
    f"{LIBRARY}/_sysconfig_vars__linux_aarch64-linux-musl.json",
    f"{LIBRARY}/build-details.json",
    f"{LIBRARY}/config-3.14-aarch64-linux-musl/Makefile",
    f"{LIBRARY}/config-3.14-aarch64-linux-musl/python-config.py",
    "lib/pkgconfig/python-3.14-embed.pc",
    "bin/python3.14-config",
]


def test_every_file_that_extension_builds_read_is_scrubbed(tmp_path: Path) -> None:
    places = [made(tmp_path, name, "Libs: -L/sysroot/usr/lib -lm\n") for name in SCRUBBED]
    other = made(tmp_path, f"{LIBRARY}/os.py", "sysroot = '/sysroot/x'\n")
    SCRUB.main(str(tmp_path), PREFIX)
    assert {place.read_text() for place in places} == {"Libs: -lm\n"}
    assert other.read_text() == "sysroot = '/sysroot/x'\n"


def test_free_threaded_builds_are_scrubbed_too(tmp_path: Path) -> None:
    place = made(tmp_path, "lib/python3.14t/config-3.14t-s390x-linux-musl/Makefile", "L=-L/sysroot/usr/lib\n")
    SCRUB.main(str(tmp_path), PREFIX)
    assert "sysroot" not in place.read_text()


def test_every_trace_left_is_named_with_file_and_line(tmp_path: Path) -> None:
    first = made(tmp_path, SCRUBBED[3], "CC= gcc\nLD= clang --target=aarch64-alpine-linux-musl -fuse-ld=lld\n")
    second = made(tmp_path, SCRUBBED[6], "x=--sysroot=/sysroot\n")
    with pytest.raises(SystemExit) as stop:
        SCRUB.main(str(tmp_path), PREFIX)
    said = str(stop.value.code).splitlines()
    assert said[0] == "traces of the cross build are left:"
    assert f"{first}:2: --target= in: LD= clang" in str(stop.value.code)
    assert f"{first}:2: -fuse-ld in: " in str(stop.value.code)
    assert f"{second}:1: /sysroot in: " in str(stop.value.code)
    assert len(said) == 4


def test_links_are_left_alone(tmp_path: Path) -> None:
    place = made(tmp_path, "bin/python3.14-config", "echo -L/sysroot/usr/lib\n")
    link = place.with_name("python3-config")
    link.symlink_to(place.name)
    SCRUB.main(str(tmp_path), PREFIX)
    assert link.is_symlink()
    assert link.read_text() == "echo\n"


def test_modes_stay(tmp_path: Path) -> None:
    place = made(tmp_path, "bin/python3.14-config", "echo -L/sysroot/usr/lib\n")
    place.chmod(0o755)
    SCRUB.main(str(tmp_path), PREFIX)
    assert place.stat().st_mode & 0o777 == 0o755
