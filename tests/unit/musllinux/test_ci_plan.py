"""The plan of the merge check names what the matrix has."""

from typing import Any

import yaml

from musllinux.model import image_ids

from .factory import ROOT, shipped

PLAN: dict[str, Any] = yaml.safe_load((ROOT / ".ci/plan.yaml").read_text())


def test_the_plan_names_images_and_interpreters_of_the_matrix() -> None:
    assert {*PLAN["foreign"], *PLAN["waiting"]} <= set(image_ids(shipped()))
    assert set(PLAN["interpreters"]) <= set(shipped().interpreters)


def test_every_foreign_image_of_the_newest_policy_has_its_turn_or_waits_for_it() -> None:
    policy = next(iter(shipped().policies))
    foreign = {f"{policy}_{arch}" for arch in shipped().architectures} - {f"{policy}_x86_64"}
    assert sorted([*PLAN["foreign"], *PLAN["waiting"]]) == sorted(foreign)


def test_an_interpreter_of_the_plan_can_run_the_tools() -> None:
    assert set(PLAN["interpreters"]) & set(shipped().tools.host)
    assert "cp39-cp39" in PLAN["interpreters"]
