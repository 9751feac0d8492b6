"""The recipes themselves: everything they name exists, for every architecture."""

import importlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from muslabi import database
from standin.builders.names import names_for
from standin.builders.programs import GLIBC, PATCHELF
from standin.catalogue import Catalogue, load_catalogue, load_data, load_targets, thawed
from standin.fields import expand

ROOT = Path(__file__).parents[3]
TARGETS = load_targets()
POLICIES = load_data("policies.yaml")
LINES = [(policy, arch) for policy, facts in POLICIES.items() for arch in facts["architectures"]]
# In every base (apk itself needs them): never part of the stand-in.
BASE = {
    "musllinux_1_2": {"busybox", "libcrypto3", "libssl3", "musl", "zlib"},
    "musllinux_1_1": {"busybox", "libcrypto1.1", "libssl1.1", "musl", "zlib"},
}
# Asked for by the images, and not there (docs/standin.md), but for what the policy does without anyway.
LACKS = {"libatomic", "tk", "tk-dev"}
# Debian's musl, by suite.
MUSL = {"bullseye": "1.2.2", "trixie": "1.2.5"}


@pytest.fixture(scope="module", params=LINES, ids="-".join)
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    return load_catalogue(*request.param)


def bare(word: str) -> str:
    return re.split(r"[=<>~]", word, maxsplit=1)[0]


def test_every_builder_exists_and_has_a_version(catalogue: Catalogue) -> None:
    for recipe in catalogue:
        module: Any = importlib.import_module(f"standin.builders.{recipe.builder}")
        assert module.VERSION >= 1
        assert callable(module.build)


def test_every_dependency_is_in_the_base_or_a_package(catalogue: Catalogue) -> None:
    packaged = [recipe for recipe in catalogue if recipe.packaged]
    known = {bare(word) for recipe in packaged for word in (recipe.name, *recipe.provides)}
    known |= BASE[catalogue.policy]
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


@pytest.mark.parametrize(("policy", "arch"), LINES)
def test_no_name_in_braces_is_left_over(policy: str, arch: str) -> None:
    names = names_for(TARGETS[arch])
    for recipe in load_catalogue(policy, arch):
        texts = {key: value for key, value in recipe.options.items() if key not in ("build", "objects", "specs")}
        left = re.findall(r"(?<![$%])\{[a-z_]+\}", json.dumps(expand(thawed(texts), names)))
        assert not left, f"{recipe.name}: {left}"


@pytest.mark.parametrize("policy", POLICIES)
def test_the_images_packages_are_there_but_for_the_named_ones(policy: str) -> None:
    catalogue = load_catalogue(policy, "x86_64")
    wanted = yaml.safe_load(Path(str(resources.files("standin") / "wanted.yaml")).read_text())["packages"]
    provided = {bare(word) for recipe in catalogue if recipe.packaged for word in (recipe.name, *recipe.provides)}
    without = yaml.safe_load((ROOT / "matrix.yaml").read_text())["policies"][policy]["without"]
    assert set(wanted) - provided == LACKS | set(without)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_libc_that_libraries_are_linked_with_has_what_the_floor_has(policy: str) -> None:
    stub = load_catalogue(policy, "x86_64")["stub-libc"]
    suite = dict(stub.options["sources"][0])["suite"]
    floor = yaml.safe_load((ROOT / "matrix.yaml").read_text())["policies"][policy]["floor"]
    there, wanted = (database.load().exports("x86_64", musl) for musl in (MUSL[suite], floor))
    assert there - wanted == set(stub.options["newer"])
    assert stub.version.startswith(f"{floor}-")
