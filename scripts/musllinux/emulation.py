"""qemu-user as the kernel has it registered, and whose programs need it.

A handler is a file below binfmt_misc (Linux, Documentation/admin-guide/binfmt-misc.rst).
"""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from musllinux.model import Architecture

BINFMT = Path("/proc/sys/fs/binfmt_misc")


@dataclass(frozen=True, kw_only=True)
class Handler:
    """A registered emulator. `problem`: why it does nothing for containers; empty where it does."""

    program: str = ""
    problem: str = ""


def handler(name: str, binfmt: Path = BINFMT) -> Handler:
    """The handler of one of qemu's architectures: arm, ppc64le."""
    try:
        said = dict(line.partition(" ")[::2] for line in (binfmt / f"qemu-{name}").read_text().splitlines())
    except OSError:
        return Handler(problem="not registered")
    program = said.get("interpreter", "")
    if "enabled" not in said:
        return Handler(program=program, problem="disabled")
    if "F" not in said.get("flags:", ""):
        return Handler(program=program, problem=f"{program} without the F flag: containers do not find it")
    return Handler(program=program)


def qemu_version(program: str) -> str:
    """`qemu-aarch64 version 7.2.22`, or why not. The kernel may hold a program that is gone from the disk."""
    try:
        real = Path(program).resolve(strict=True)
        done = subprocess.run([real, "--version"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"version unknown ({error})"
    said = done.stdout.splitlines()
    return said[0].partition(" (")[0] if said else "version unknown"


def number(version: str) -> tuple[int, int] | None:
    """(7, 2) of `qemu-arm version 7.2.22`; None of one that is unknown."""
    found = re.search(r"version (\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


def emulated(arch: Architecture) -> bool:
    """Whether programs of an architecture need an emulator on this machine."""
    return platform.machine() not in arch.runs_on


def engine_is_here() -> bool:
    """Whether the engine's kernel is this machine's: only then its handlers can be looked at."""
    return os.environ.get("DOCKER_HOST", "unix").partition(":")[0] == "unix"
