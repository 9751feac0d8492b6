"""system.sh: what turns an Alpine root with packages into the image's system, on a made-up root."""

import os
from pathlib import Path

import pytest

from .scripts import BUILD, sh

LOADER = "ld-musl-s390x.so.1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "etc",
        "usr/lib/python3/x",
        "var/cache/apk",
        "var/log/apt",
        "tmp",
        "usr/share/man/man1",
        "usr/share/doc",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\n")
    (tmp_path / "usr/lib/libc.so").symlink_to(f"../../lib/{LOADER}")
    for name in ("usr/lib/python3/x/y.pyc", "etc/motd.apk-new", "var/cache/apk/index", "tmp/x", "usr/share/man/man1/a"):
        (tmp_path / name).write_text("")
    (tmp_path / "etc/motd").write_text("hello")
    return tmp_path


def made(root: Path, entry: str = "") -> Path:
    done = sh(BUILD / "system.sh", root, env={"PATH": os.environ["PATH"], "LOADER": LOADER, "ENTRY": entry})
    assert (done.returncode, done.stderr) == (0, "")
    return root


def test_links_see_the_floor_and_the_images_own_libc_is_kept_beside(root: Path) -> None:
    made(root)
    assert (root / "usr/lib/libc.so").readlink() == Path("/usr/lib/musllinux/floor/libc.so")
    assert (root / "usr/lib/musllinux/newest/libc.so").readlink() == Path(f"/lib/{LOADER}")


@pytest.mark.parametrize(("entry", "expected"), [("linux32", "linux32\n"), ("", "")])
def test_the_entrypoints_wrapper_is_recorded_where_there_is_one(root: Path, entry: str, expected: str) -> None:
    assert (made(root, entry) / "etc/musllinux/entry").read_text() == expected


def test_only_roots_shell_becomes_bash(root: Path) -> None:
    assert (
        made(root) / "etc/passwd"
    ).read_text() == "root:x:0:0:root:/root:/bin/bash\nbin:x:1:1:bin:/bin:/sbin/nologin\n"


def test_leftovers_are_removed_and_nothing_else(root: Path) -> None:
    files = {str(path.relative_to(made(root))) for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
    assert files == {"etc/passwd", "etc/motd", "etc/musllinux/entry"}
    assert (root / "var/cache/apk").is_dir()
    assert (root / "tmp").is_dir()


def test_it_can_be_run_again(root: Path) -> None:
    made(root)
    made(root)
