"""Other images than the main one from end to end: today's of .ci/plan.yaml, or MUSLLINUX_TESTS_IMAGES (ids, or `all`).

What is built and tried already for the same inputs is not done again: a run that was cut off goes on where it was.
"""

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from musllinux import engine, matrix, rehearsal
from musllinux.errors import UsageError
from musllinux.model import Selection, select
from musllinux.run import run
from musllinux.smoke import record as smoke

ROOT = Path(__file__).resolve().parents[2]
PLAN: Mapping[str, Any] = yaml.safe_load((ROOT / ".ci/plan.yaml").read_text())
ASKED = os.environ.get("MUSLLINUX_TESTS_IMAGES", "").replace(",", " ").split()
MATRIX = matrix.load(ROOT / "matrix.yaml")


def at_hand(images: Sequence[str]) -> list[str]:
    """Those that the stand-in has a base for on this machine: without Alpine's tarballs it has few."""
    try:
        return list(rehearsal.rehearsable(MATRIX, Selection(ids=tuple(images)))[0].ids)
    except UsageError:
        return []


def today(images: Sequence[str]) -> Sequence[str]:
    """A day in UTC belongs to one image, whatever time zone a run is in."""
    turn = dt.datetime.now(dt.UTC).toordinal() % max(len(images), 1)
    return images[turn : turn + 1]


LISTED = at_hand([*PLAN["turns"], *PLAN["waiting"]])
IMAGES = LISTED if ASKED == ["all"] else ASKED or today([image for image in LISTED if image in PLAN["turns"]])
INTERPRETERS = () if ASKED else PLAN["interpreters"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.needs("engine", "emulators"),
    pytest.mark.timeout(60 * 60),
]


@pytest.mark.parametrize("image", IMAGES)
def test_it_is_built_for_its_platform_and_every_check_is_green(image: str, root: Path) -> None:
    options = [f"--interpreters={','.join(INTERPRETERS)}"] if INTERPRETERS else []
    argv = [str(root / ".venv/bin/musllinux"), "build", "--smoke", image, *options]
    done = run(argv, cwd=root, check=False, timeout=55 * 60)
    assert done.code == 0, done.output[-6000:]
    facts = engine.image_facts(f"{image}:latest")
    [(_, arch)] = select(MATRIX, Selection(ids=(image,)))
    assert facts is not None
    assert facts.is_for(MATRIX.architectures[arch].platform)
    tried = smoke.read(root / "build", image)
    assert tried is not None
    assert (tried.green, tried.image) == (True, facts.id)
