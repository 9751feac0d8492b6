"""rust-check.sh: what std needs of libc and how wide its time_t is, by what a made-up llvm-nm says of it."""

import os
import subprocess
from pathlib import Path

import pytest

from .scripts import BUILD, sh

FLOOR = "malloc\n__clock_gettime64\nclock_gettime\n"


def check(folder: Path, symbols: str, bits: int, time_t: int) -> subprocess.CompletedProcess[str]:
    """Check a std with these symbols, `name type` a line as `nm -P` prints them."""
    nm = folder / "llvm-nm"
    nm.write_text(f"#!/bin/sh\ncat <<'END'\nlibstd.rlib[std.o]:\n{symbols}END\n")
    nm.chmod(0o755)
    (folder / "floor").write_text(FLOOR)
    (folder / "libstd-0.rlib").touch()
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "BITS": str(bits), "TIME_T": str(time_t)}
    return sh(BUILD / "rust-check.sh", folder / "floor", folder, env=env)


def test_a_std_that_the_floor_satisfies_passes(tmp_path: Path) -> None:
    symbols = (
        "own T 0 1\nown U\nmalloc U\nclock_gettime U\nstatx w\n_Unwind_Resume U\n_RNvCsx_7___rustc12___rust_alloc U\n"
        ".TOC. U\n_GLOBAL_OFFSET_TABLE_ U\n"
    )
    assert check(tmp_path, symbols, 64, 64).returncode == 0


def test_a_symbol_newer_than_the_floor_is_named(tmp_path: Path) -> None:
    done = check(tmp_path, "own T 0 1\nmalloc U\nstatx U\n", 64, 64)
    assert done.returncode == 1
    assert "does not have: statx" in done.stderr


@pytest.mark.parametrize(("clock", "found"), [("clock_gettime", 32), ("__clock_gettime64", 64)])
def test_the_width_of_time_t_is_read_from_the_clocks_name_and_must_be_the_policys(
    tmp_path: Path, clock: str, found: int
) -> None:
    symbols = f"own T 0 1\n{clock} U\n"
    assert check(tmp_path, symbols, 32, found).returncode == 0
    wrong = check(tmp_path, symbols, 32, 96 - found)
    assert f"{found} bits of time_t" in wrong.stderr


def test_nothing_to_look_at_is_no_success(tmp_path: Path) -> None:
    assert "no symbols" in check(tmp_path, "", 64, 64).stderr
