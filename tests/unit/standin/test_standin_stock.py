"""What is made for which architecture."""

from types import SimpleNamespace
from typing import Any

from standin.catalogue import Catalogue, Recipe
from standin.stock import Request, _chosen

RECIPES = [
    Recipe(name="clang", version="1-r0", builder="x", policy="p", needs=("tool",)),
    Recipe(name="git", version="1-r0", builder="x", policy="p"),
    Recipe(name="tool", version="1-r0", builder="x", policy="p", packaged=False),
]


def chosen(arch: str, **asked: Any) -> list[str]:
    request = Request(
        **{
            "architectures": (),
            "policies": ("p",),
            "pythons": (),
            "pythons_required": (),
            "only": (),
            "native": ("clang",),
            "machine": "x86_64",
            "recipes": None,
            "refresh": False,
            **asked,
        }
    )
    workshop: Any = SimpleNamespace(target=SimpleNamespace(apk_arch=arch), catalogue=Catalogue("p", RECIPES))
    return sorted(recipe.name for recipe in _chosen(workshop, request))


def test_an_architecture_that_is_asked_for_gets_everything() -> None:
    assert chosen("armv7", architectures=("armv7",)) == ["clang", "git", "tool"]


def test_the_building_machine_gets_what_its_stages_need_and_nothing_else() -> None:
    assert chosen("x86_64", architectures=("armv7",)) == ["clang", "tool"]
    assert chosen("x86_64", architectures=("x86_64",)) == ["clang", "git", "tool"]


def test_other_architectures_get_nothing() -> None:
    assert chosen("s390x", architectures=("armv7",)) == []


def test_only_some_recipes_leave_the_building_machine_s_packages_alone() -> None:
    assert chosen("armv7", architectures=("armv7",), only=("git",)) == ["git"]
    assert chosen("x86_64", architectures=("armv7",), only=("git",)) == ["clang", "tool"]
