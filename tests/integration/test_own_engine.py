"""What would hurt others on a shared engine: kills, and builds with the cache dropped. MUSLLINUX_OWN_ENGINE names a
folder for an engine of the tests' own; the first run builds an image of one interpreter there.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT

FOLDER = os.environ.get("MUSLLINUX_OWN_ENGINE", "")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(2 * 3600),
    pytest.mark.skipif(not FOLDER, reason="MUSLLINUX_OWN_ENGINE names no folder for an engine that may be killed"),
]


def alone(*words: str) -> "subprocess.CompletedProcess[str]":
    """A module of the tests in a network of its own, where an engine cannot touch the machine's bridges."""
    cache = os.environ.get("MUSLLINUX_CACHE", str(Path.home() / ".cache/musllinux"))
    argv = [sys.executable, "-m", *words, f"--folder={FOLDER}", f"--cache={cache}"]
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *argv],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_after_any_kill_the_same_command_ends_well() -> None:
    done = alone("tests.chaos.kills", "--count=5")
    assert done.returncode == 0, done.stdout[-4000:]


def test_two_builds_with_the_cache_dropped_give_the_same_files() -> None:
    done = alone("tests.reproducible.twice")
    assert done.returncode == 0, done.stdout[-4000:]
