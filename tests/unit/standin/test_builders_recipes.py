"""The recipes themselves: everything they name exists, for every architecture."""

import importlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from standin.builders.names import expand, names_for
from standin.builders.programs import GLIBC, PATCHELF
from standin.catalogue import Catalogue, load_catalogue, load_targets, thawed

POLICY = "musllinux_1_2"
TARGETS = load_targets()
# In every base (apk itself needs them): never part of the stand-in.
BASE = {"busybox", "libcrypto3", "libssl3", "musl", "zlib"}
# Asked for by the images; why not is in recipes/README.md.
LACKS = {"libatomic", "tk", "tk-dev"}


@pytest.fixture(scope="module", params=TARGETS)
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    return load_catalogue(POLICY, request.param)


def bare(word: str) -> str:
    return re.split(r"[=<>~]", word, maxsplit=1)[0]


def test_every_builder_exists_and_has_a_version(catalogue: Catalogue) -> None:
    for recipe in catalogue:
        module: Any = importlib.import_module(f"standin.builders.{recipe.builder}")
        assert module.VERSION >= 1
        assert callable(module.build)


def test_every_dependency_is_in_the_base_or_a_package(catalogue: Catalogue) -> None:
    packaged = [recipe for recipe in catalogue if recipe.packaged]
    known = {bare(word) for recipe in packaged for word in (recipe.name, *recipe.provides)} | BASE
    missing = {word for recipe in packaged for word in recipe.depends if bare(word) not in known}
    assert not missing


def test_versions_in_dependencies_are_those_of_the_recipes(catalogue: Catalogue) -> None:
    versions = {recipe.name: recipe.version for recipe in catalogue}
    for recipe in catalogue:
        for word in recipe.depends:
            name, equals, version = word.partition("=")
            assert not equals or versions[name] == version, f"{recipe.name} depends on {word}"


def test_command_names_are_provided_in_the_version_of_the_package(catalogue: Catalogue) -> None:
    for recipe in catalogue:
        for word in recipe.provides:
            kind, _, version = word.partition("=")
            assert not kind.startswith("cmd:") or version == recipe.version, f"{recipe.name} provides {word}"


def test_a_recipe_needs_every_tree_it_takes_from_and_its_tools(catalogue: Catalogue) -> None:
    for recipe in catalogue:
        trees = {source["tree"] for source in recipe.options.get("sources", ()) if "tree" in source}
        tools = {GLIBC, PATCHELF} if recipe.options.get("private") else set()
        tools |= {PATCHELF} if recipe.options.get("libraries") else set()
        assert trees | tools | set(recipe.options.get("uses", ())) <= set(recipe.needs), recipe.name


def test_programs_that_start_through_the_private_glibc_depend_on_it(catalogue: Catalogue) -> None:
    for recipe in catalogue:
        if recipe.options.get("private"):
            assert GLIBC in recipe.depends, recipe.name


def test_wheels_are_pinned(catalogue: Catalogue) -> None:
    for recipe in catalogue:
        for source in recipe.options.get("sources", ()):
            if "wheel" in source:
                assert "==" in source["wheel"]
                assert re.fullmatch(r"[0-9a-f]{64}", source["sha256"]), recipe.name


@pytest.mark.parametrize("arch", TARGETS)
def test_no_name_in_braces_is_left_over(arch: str) -> None:
    names = names_for(TARGETS[arch])
    for recipe in load_catalogue(POLICY, arch):
        texts = {key: value for key, value in recipe.options.items() if key not in ("build", "objects", "specs")}
        left = re.findall(r"(?<![$%])\{[a-z_]+\}", json.dumps(expand(thawed(texts), names)))
        assert not left, f"{recipe.name}: {left}"


def test_the_images_packages_are_there_but_for_the_named_ones() -> None:
    catalogue = load_catalogue(POLICY, "x86_64")
    wanted = yaml.safe_load(Path(str(resources.files("standin") / "wanted.yaml")).read_text())["packages"]
    provided = {bare(word) for recipe in catalogue if recipe.packaged for word in (recipe.name, *recipe.provides)}
    assert set(wanted) - provided == LACKS
