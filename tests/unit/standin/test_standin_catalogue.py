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


def write(folder: Path, *recipes: dict[str, object], name: str = "a.yaml", policy: str = "musllinux_1_2") -> Path:
    (folder / name).write_text(yaml.safe_dump({"policy": policy, "recipes": list(recipes)}))
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
    write(tmp_path, {"name": "a", "version": "1-r0", "builder": "b"}, policy="musllinux_1_1")
    assert len(load_catalogue("musllinux_1_2", "x86_64", tmp_path)) == 0
    assert len(load_catalogue("musllinux_1_1", "x86_64", tmp_path)) == 1


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"version": "1-r0", "builder": "b"}, "with a name"),
        ({"name": "a", "builder": "b"}, "version"),
        ({"name": "a", "version": 1.2, "builder": "b"}, "version must be a string"),
        ({"name": "a", "version": "1-r0", "builder": "b", "depends": "x"}, "depends must be a list"),
        ({"name": "a", "version": "1-r0", "builder": "b", "repository": "testing"}, "main, community"),
        ({"name": "a", "version": "1-r0", "builder": "b", "scripts": {"postinst": ""}}, "postinst"),
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
