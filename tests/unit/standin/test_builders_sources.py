"""Where recipes' files come from, without network: tarballs, names, hosts."""

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from standin.builders import source
from standin.builders.host import this_host
from standin.builders.names import names_for
from standin.builders.sources import named, unpack
from standin.catalogue import load_targets
from standin.errors import StandinError
from standin.fields import expand


def tarball(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"top-1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def test_a_tarball_is_unpacked_without_its_top_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.orig.tar.xz"
    path.write_bytes(lzma.compress(tarball(**{"configure": b"1", "src/a.c": b"2"})))
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out/src/a.c").read_bytes() == b"2"


def test_only_wanted_members_of_an_inner_tarball_are_unpacked(tmp_path: Path) -> None:
    inner = lzma.compress(tarball(**{"lib/config/os/a.h": b"1", "lib/other.h": b"2"}))
    path = tmp_path / "a.orig.tar"
    path.write_bytes(tarball(**{"notes.txt": b"", "gcc-14.tar.xz": inner}))
    unpack(path, tmp_path / "out", ["lib/config/*"], "gcc-*.tar.xz")
    assert sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.h")) == [
        "lib/config/os/a.h"
    ]


def test_an_inner_tarball_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tarball(readme=b""))
    with pytest.raises(StandinError, match=r"no gcc-\*\.tar\.xz in a\.tar"):
        unpack(path, tmp_path / "out", inner="gcc-*.tar.xz")


def test_a_damaged_tarball_is_an_error_and_not_a_partial_tree(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tarball(big=bytes(9000))[:3000])
    with pytest.raises(StandinError, match="tar"):
        unpack(path, tmp_path / "out")


def test_the_archive_is_chosen_by_name() -> None:
    paths = [Path("x/a_1.debian.tar.xz"), Path("x/a_1.orig.tar.gz")]
    assert named(paths, "a_*.orig.tar.*") == paths[1]
    with pytest.raises(StandinError, match=r"no b_\* among a_1\.debian"):
        named(paths, "b_*")


def test_names_are_filled_in_through_lists_and_mappings_and_shell_text_is_kept() -> None:
    names = names_for(load_targets()["aarch64"])
    value = {"usr/{triple}/bin": ["{debian_dashed}", {"to": "${HOME} {unknown} {loader}"}], "deep": True}
    assert expand(value, names) == {
        "usr/aarch64-alpine-linux-musl/bin": [
            "aarch64-linux-gnu",
            {"to": "${HOME} {unknown} ld-musl-aarch64.so.1"},
        ],
        "deep": True,
    }


def test_a_machine_without_programs_is_told_what_to_do() -> None:
    with pytest.raises(StandinError, match="this machine is riscv64") as caught:
        this_host("riscv64")
    assert "upstream" in caught.value.hint


def test_a_static_library_where_a_shared_one_was_asked_for_is_not_kept(tmp_path: Path) -> None:
    """libtool's answer to a linker that failed in configure."""
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/libffi.so.8").write_bytes(b"")
    source._expect_shared("./configure --disable-static", tmp_path, tmp_path / "log")
    (tmp_path / "usr/lib/libffi.a").write_bytes(b"")
    source._expect_shared("./configure", tmp_path, tmp_path / "log")
    source._expect_shared("./configure --disable-static --disable-shared", tmp_path, tmp_path / "log")
    with pytest.raises(StandinError, match=r"no shared library came out, but libffi\.a"):
        source._expect_shared("./configure --disable-static", tmp_path, tmp_path / "log")
