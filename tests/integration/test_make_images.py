"""`make images` from end to end, as in the README, with the source that MUSLLINUX_SOURCES names, else the usual one."""

import json
from pathlib import Path

import pytest
from tests.integration.conftest import Made

from musllinux import engine
from musllinux.run import run
from musllinux.smoke import record as smoke

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.needs("engine"),
    pytest.mark.timeout(50 * 60),
]


def test_it_ends_with_an_image_for_the_right_platform(made: Made) -> None:
    assert made.run.code == 0, made.run.output[-4000:]
    facts = engine.image_facts(f"{made.id}:latest")
    assert facts is not None
    assert facts.is_for("linux/amd64")


def test_every_check_of_the_image_is_green(made: Made, root: Path) -> None:
    assert made.run.code == 0, made.run.output[-4000:]
    tried = smoke.read(root / "build", made.id)
    assert tried is not None
    assert tried.green
    assert [check.name for check in tried.checks if check.status == "failed"] == []


def test_without_a_change_nothing_is_done_again(made: Made, root: Path) -> None:
    """How long that takes is `make bench`'s to say."""
    assert made.run.code == 0, made.run.output[-4000:]
    records = [root / "build" / made.id / name for name in ("build.json", "smoke.json")]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in records]
    again = run(["make", "images", "ARCH=x86_64", "POLICY=musllinux_1_2"], cwd=root, timeout=300)
    assert f"up to date as {made.id}:latest" in again.output
    assert "tried before on this very image" in again.output
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in records] == before


def test_the_image_has_what_the_readme_shows(made: Made) -> None:
    assert made.run.code == 0, made.run.output[-4000:]
    script = "gcc --version && g++ --version && auditwheel --version && /opt/python/cp39-cp39/bin/python -V"
    client = engine.find_client()
    shown = run([client.path, "run", "--rm", f"{made.id}:latest", "bash", "-c", script], timeout=120).output
    assert "gcc" in shown
    assert "Python 3.9" in shown


def test_the_report_knows_it(made: Made, root: Path) -> None:
    assert made.run.code == 0, made.run.output[-4000:]
    shown = run([root / ".venv" / "bin" / "musllinux", "report", made.id, "--json"], cwd=root).output
    (image,) = json.loads(shown)["images"]
    assert image["id"] == made.id
    assert image["smoke"]["image"] == image["build"]["image"]
