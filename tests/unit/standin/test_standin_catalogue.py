"""Recipes and targets: what is right is frozen, what is wrong is named with its file."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from standin.catalogue import Catalogue, Recipe, load_catalogue, load_data, load_targets, thawed
from standin.errors import StandinError

REPOSITORY_ROOT = Path(__file__).parents[3]


def recipe(name: str, *needs: str) -> Recipe:
    return Recipe(name=name, version="1-r0", builder="x", policy="musllinux_1_2", needs=needs)


OLD, NEW = "musllinux_1_1", "musllinux_1_2"
PLAIN: dict[str, object] = {"name": "a", "version": "1-r0", "builder": "b"}


def write(folder: Path, *recipes: dict[str, object], name: str = "a.yaml", policies: object = (NEW,)) -> Path:
    served = list(policies) if isinstance(policies, tuple) else policies
    (folder / name).write_text(yaml.safe_dump({"policies": served, "recipes": list(recipes)}))
    return folder


def test_a_recipe_comes_after_everything_it_needs() -> None:
    catalogue = Catalogue("p", [recipe("c", "b", "a"), recipe("b", "a"), recipe("a"), recipe("d")])
    order = [each.name for each in catalogue]
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("a") < order.index("b") < order.index("c")


@given(st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda pair: pair[0] > pair[1])))
def test_any_acyclic_set_of_needs_is_ordered(pairs: set[tuple[int, int]]) -> None:
    names = {number for pair in pairs for number in pair}
    recipes = [recipe(str(n), *(str(low) for high, low in sorted(pairs) if high == n)) for n in sorted(names)]
    order = [each.name for each in Catalogue("p", recipes)]
    assert all(order.index(str(low)) < order.index(str(high)) for high, low in pairs)


def test_needs_in_a_circle_are_named() -> None:
    with pytest.raises(StandinError, match="a -> b -> a"):
        Catalogue("p", [recipe("a", "b"), recipe("b", "a")])


def test_a_need_that_does_not_exist_is_named() -> None:
    with pytest.raises(StandinError, match="recipe a needs zz"):
        Catalogue("p", [recipe("a", "zz")])


def test_the_closure_is_what_is_asked_for_and_what_that_needs() -> None:
    catalogue = Catalogue("p", [recipe("c", "b"), recipe("b", "a"), recipe("a"), recipe("d")])
    assert {each.name for each in catalogue.closure(["b"])} == {"a", "b"}
    assert "d" not in catalogue.closure(["c"])
    with pytest.raises(StandinError, match="no recipe named 'x'"):
        catalogue.closure(["x"])


def test_what_apk_would_draw_in_goes_by_names_provided_names_and_versions() -> None:
    def packed(name: str, depends: tuple[str, ...] = (), provides: tuple[str, ...] = ()) -> Recipe:
        return replace(recipe(name), depends=depends, provides=provides)

    recipes = [
        packed("gcc", depends=("binutils", "libgcc=14.2.0-r0", "so:libc.musl-x86_64.so.1")),
        packed("binutils"),
        packed("libgcc", provides=("so:libgcc_s.so.1=1",)),
        packed("c-library", provides=("libc-dev=1.2.5-r0",)),
        replace(recipe("tool", "gcc"), packaged=False),
    ]
    catalogue = Catalogue("p", recipes)
    assert catalogue.drawn_in(["gcc", "libc-dev", "musl"]) == ["binutils", "c-library", "gcc", "libgcc"]
    assert catalogue.drawn_in(["tool"]) == []


def test_unknown_keys_are_the_builders_and_frozen(tmp_path: Path) -> None:
    write(tmp_path, {"name": "a", "version": "1-r0", "builder": "b", "files": {"x": ["y"]}})
    options = load_catalogue("musllinux_1_2", "x86_64", tmp_path)["a"].options
    assert options["files"]["x"] == ("y",)
    assert thawed(options) == {"files": {"x": ["y"]}}
    with pytest.raises(TypeError):
        options["files"]["x"] = ()


def test_overrides_replace_keys_for_their_architecture(tmp_path: Path) -> None:
    entry = {"name": "a", "version": "1-r0", "builder": "b", "depends": ["x"], "flag": 1}
    write(tmp_path, {**entry, "overrides": {"aarch64": {"depends": ["y"], "flag": 2}}})
    found = {arch: load_catalogue("musllinux_1_2", arch, tmp_path)["a"] for arch in ("x86_64", "aarch64")}
    assert [found[arch].depends for arch in found] == [("x",), ("y",)]
    assert [found[arch].options["flag"] for arch in found] == [1, 2]


def test_a_recipe_for_some_architectures_is_absent_on_others(tmp_path: Path) -> None:
    write(tmp_path, {"name": "a", "version": "1-r0", "builder": "b", "architectures": ["x86_64"]})
    assert "a" in load_catalogue("musllinux_1_2", "x86_64", tmp_path)
    assert "a" not in load_catalogue("musllinux_1_2", "s390x", tmp_path)


def test_files_of_another_policy_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, PLAIN, policies=(OLD,))
    assert len(load_catalogue(NEW, "x86_64", tmp_path)) == 0
    assert len(load_catalogue(OLD, "x86_64", tmp_path)) == 1


def test_a_policy_has_no_recipes_for_an_architecture_they_are_not_proven_for(tmp_path: Path) -> None:
    proven = load_data("policies.yaml")[OLD]["architectures"]
    write(tmp_path, PLAIN, policies=(NEW, OLD))
    for arch in load_targets():
        assert (len(load_catalogue(OLD, arch, tmp_path)) == 1) == (arch in proven)


def test_what_is_the_same_for_several_policies_is_one_recipe(tmp_path: Path) -> None:
    write(tmp_path, PLAIN, policies=(NEW, OLD))
    new, old = (load_catalogue(policy, "x86_64", tmp_path)["a"] for policy in (NEW, OLD))
    assert new == old
    assert old.policy == NEW


def test_overrides_of_a_policy_come_after_those_of_an_architecture_and_may_have_their_own(tmp_path: Path) -> None:
    entry = {**PLAIN, "flag": 1, "kept": 1}
    older = {"flag": 3, "overrides": {"x86_64": {"flag": 4}}}
    write(tmp_path, {**entry, "overrides": {"x86_64": {"flag": 2, "kept": 2}, OLD: older}}, policies=(NEW, OLD))
    found = [dict(load_catalogue(policy, "x86_64", tmp_path)["a"].options) for policy in (NEW, OLD)]
    assert found == [{"flag": 2, "kept": 2}, {"flag": 4, "kept": 2}]


def test_a_recipe_for_some_policies_of_its_file_is_absent_in_others(tmp_path: Path) -> None:
    write(tmp_path, {**PLAIN, "policies": [NEW]}, policies=(NEW, OLD))
    assert "a" in load_catalogue(NEW, "x86_64", tmp_path)
    assert "a" not in load_catalogue(OLD, "x86_64", tmp_path)


def test_names_in_braces_mean_what_the_policy_says_and_others_are_kept(tmp_path: Path) -> None:
    write(tmp_path, {**PLAIN, "version": "{gcc_release}", "files": {"{gcc}/x": ["{triple}"]}}, policies=(NEW, OLD))
    for policy in (NEW, OLD):
        names = load_data("policies.yaml")[policy]["names"]
        found = load_catalogue(policy, "x86_64", tmp_path)["a"]
        assert found.version == names["gcc_release"]
        assert thawed(found.options) == {"files": {f"{names['gcc']}/x": ["{triple}"]}}


def test_every_policy_of_the_recipes_is_the_matrix_s_and_has_every_name() -> None:
    matrix = yaml.safe_load((REPOSITORY_ROOT / "matrix.yaml").read_text())["policies"]
    policies = load_data("policies.yaml")
    assert set(policies) <= set(matrix)
    assert len({frozenset(facts["names"]) for facts in policies.values()}) == 1
    assert all(set(facts["architectures"]) <= set(load_targets()) for facts in policies.values())


@pytest.mark.parametrize("policies", [None, NEW, (), ("musllinux_0_9",)])
def test_a_file_that_says_no_policies_is_named(tmp_path: Path, policies: object) -> None:
    write(tmp_path, PLAIN, name="mistake.yaml", policies=policies)
    with pytest.raises(StandinError, match=r"mistake\.yaml: `policies` must be a list"):
        load_catalogue(NEW, "x86_64", tmp_path)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"version": "1-r0", "builder": "b"}, "with a name"),
        ({"name": "a", "builder": "b"}, "version"),
        ({"name": "a", "version": 1.2, "builder": "b"}, "version must be a string"),
        ({"name": "a", "version": "1-r0", "builder": "b", "depends": "x"}, "depends must be a list"),
        ({"name": "a", "version": "1-r0", "builder": "b", "repository": "testing"}, "main, community"),
        ({"name": "a", "version": "1-r0", "builder": "b", "scripts": {"postinst": ""}}, "postinst"),
        ({**PLAIN, "policies": [OLD]}, f"policies: {OLD} is none of {NEW}"),
        ({**PLAIN, "overrides": {"amd64": {}}}, "overrides: amd64 is none of"),
        ({**PLAIN, "overrides": {OLD: {"depends": []}}}, f"overrides: {OLD} is none of"),
        ({**PLAIN, "overrides": {NEW: {"overrides": {NEW: {}}}}}, f"overrides: {NEW} is none of"),
    ],
)
def test_a_mistake_in_a_recipe_is_named_with_its_file(tmp_path: Path, entry: dict[str, object], reason: str) -> None:
    write(tmp_path, entry, name="mistake.yaml")
    with pytest.raises(StandinError, match=reason) as caught:
        load_catalogue("musllinux_1_2", "x86_64", tmp_path)
    assert "mistake.yaml" in caught.value.message


def test_a_recipe_that_exists_twice_is_an_error(tmp_path: Path) -> None:
    entry: dict[str, object] = {"name": "a", "version": "1-r0", "builder": "b"}
    write(tmp_path, entry)
    write(tmp_path, entry, name="b.yaml")
    with pytest.raises(StandinError, match="exists twice"):
        load_catalogue("musllinux_1_2", "x86_64", tmp_path)


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(StandinError, match=r"broken\.yaml is not YAML"):
        load_catalogue("musllinux_1_2", "x86_64", tmp_path)


def test_the_targets_are_those_of_the_matrix() -> None:
    matrix = yaml.safe_load((REPOSITORY_ROOT / "matrix.yaml").read_text())["architectures"]
    targets = {target.wheel_arch: target for target in load_targets().values()}
    for name, target in targets.items():
        section = matrix[name]
        assert (section["apk"], section["platform"], section["triple"], section["loader"], section["bits"]) == (
            target.apk_arch,
            target.platform,
            target.triple,
            target.loader,
            target.bits,
        )


def test_the_packages_wanted_are_those_the_matrix_asks_for() -> None:
    matrix = yaml.safe_load((REPOSITORY_ROOT / "matrix.yaml").read_text())
    asked = {name for names in matrix["packages"].values() for name in names}
    for library in matrix["libraries"].values():
        asked |= {name for name in (library["build"], library["run"]) if name}
    asked |= {*matrix["rust"]["packages"], *matrix["rust"]["builder"]}
    assert set(load_data("wanted.yaml")["packages"]) == asked
