"""rust.sh: what makes an unpacked Rust the image's, on made-up trees."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from .scripts import BUILD, sh

TRIPLE = "armv7-alpine-linux-musleabihf"
TARGET = "armv7-unknown-linux-musleabihf"
HOST = "x86_64-unknown-linux-gnu"


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    """out/ with a prefix, std/ with rlibs, libraries/ with gcc's files."""
    for name in ("out/opt/rust/bin", f"out/opt/rust/lib/rustlib/{TARGET}/lib", "std", f"libraries/gcc/{TRIPLE}/14.2.0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / f"out/opt/rust/lib/rustlib/{TARGET}/lib/libstd-packaged.rlib").touch()
    (tmp_path / "std/libstd-ours.rlib").touch()
    (tmp_path / f"libraries/gcc/{TRIPLE}/14.2.0/crtbegin.o").touch()
    return tmp_path


def made(trees: Path, **values: str) -> dict[str, Any]:
    """Run it; cargo's configuration."""
    facts = {"PREFIX": "/opt/rust", "TARGET": TARGET, "TRIPLE": TRIPLE, "CFG": "", "TIME64": ""}
    env = {"PATH": os.environ["PATH"], **facts, **values}
    done = sh(BUILD / "rust.sh", trees / "out", trees / "std", trees / "libraries", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return tomllib.loads((trees / "out/.cargo/config.toml").read_text())


def add_host(trees: Path) -> None:
    folder = trees / f"out/opt/rust/lib/rustlib/{HOST}"
    (folder / "lib").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/ld").touch(mode=0o755)


def test_a_toolchain_hosted_on_its_target_needs_no_target_set(trees: Path) -> None:
    assert made(trees) == {"target": {TARGET: {"rustflags": ["-Ctarget-feature=-crt-static"]}}}


def test_another_host_gets_its_linker_and_the_target_is_the_images(trees: Path) -> None:
    add_host(trees)
    found = made(trees)
    assert found["build"] == {"target": TARGET}
    assert found["env"]["PKG_CONFIG_ALLOW_CROSS"] == "1"
    assert found["env"][f"CC_{TARGET.replace('-', '_')}"] == "gcc"
    assert found["target"][HOST] == {"linker": f"/opt/rust/lib/rustlib/{HOST}/bin/ld"}


def test_the_libc_crate_is_told_of_64_bits_in_each_way_it_knows(trees: Path) -> None:
    found = made(trees, CFG="one two", TIME64="A_SWITCH")
    assert found["env"] == {"A_SWITCH": "1"}
    assert found["target"][TARGET]["rustflags"][1:] == ["--cfg=one", "--cfg=two"]


def test_the_packages_std_gives_way_to_the_one_compiled_for_the_policy(trees: Path) -> None:
    made(trees)
    folder = trees / f"out/opt/rust/lib/rustlib/{TARGET}/lib"
    assert [path.name for path in folder.glob("*.rlib")] == ["libstd-ours.rlib"]


def test_static_programs_are_linked_with_the_images_own_files(trees: Path) -> None:
    made(trees)
    folder = trees / f"out/opt/rust/lib/rustlib/{TARGET}/lib/self-contained"
    assert (folder / "libc.a").readlink() == Path("/usr/lib/libc.a")
    assert (folder / "crtbegin.o").readlink() == Path(f"/usr/lib/gcc/{TRIPLE}/14.2.0/crtbegin.o")


def test_the_commands_are_links_to_the_programs_themselves(trees: Path) -> None:
    made(trees)
    found = {path.name: str(path.readlink()) for path in (trees / "out/usr/local/bin").iterdir()}
    assert found == {name: f"/opt/rust/bin/{name}" for name in ("cargo", "rustc", "rustdoc")}
