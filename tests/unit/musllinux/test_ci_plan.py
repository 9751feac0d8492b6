"""The plan of the merge check names what the matrix has."""

from typing import Any

import yaml

from musllinux.model import Selection, image_ids, select
from standin.catalogue import load_catalogue

from .factory import ROOT, shipped

PLAN: dict[str, Any] = yaml.safe_load((ROOT / ".ci/plan.yaml").read_text())


def test_the_plan_names_images_and_interpreters_of_the_matrix() -> None:
    assert {*PLAN["turns"], *PLAN["waiting"]} <= set(image_ids(shipped()))
    assert set(PLAN["interpreters"]) <= set(shipped().interpreters)


def test_every_image_there_are_recipes_for_has_its_turn_or_waits_for_it_but_for_the_main_one() -> None:
    matrix = shipped()
    pairs = select(matrix, Selection())
    recipes = [f"{policy}_{arch}" for policy, arch in pairs if load_catalogue(policy, matrix.architectures[arch].apk)]
    main, *others = recipes
    assert main == "musllinux_1_2_x86_64"
    assert sorted([*PLAN["turns"], *PLAN["waiting"]]) == sorted(others)


def test_an_interpreter_of_the_plan_can_run_the_tools() -> None:
    assert set(PLAN["interpreters"]) & set(shipped().tools.host)
    assert "cp39-cp39" in PLAN["interpreters"]
