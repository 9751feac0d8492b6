"""Overlays: merged key by key, with every mistake pointing into the file that made it."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musllinux import overlay
from musllinux.lock import wanted
from musllinux.matrix import MatrixError, load, warnings
from musllinux.mistakes import Place
from musllinux.schema import Matrix
from musllinux.yamlfile import Entry, Items, Scalar, Table, Tree, plain

from .factory import ROOT, SHIPPED, shipped

EXAMPLES = dict(
    re.findall(r"<!-- example: (\S+) -->\n```yaml\n(.*?)```", (ROOT / "docs/overlay.md").read_text(), re.DOTALL)
)


def overlaid(tmp_path: Path, *texts: str) -> Matrix:
    files = [tmp_path / f"overlay{n}.yaml" for n in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return load(SHIPPED, files)


def refused(tmp_path: Path, *texts: str) -> list[str]:
    with pytest.raises(MatrixError) as caught:
        overlaid(tmp_path, *texts)
    return caught.value.message.replace(f"{tmp_path}/", "").splitlines()


def test_the_documented_overlay_adds_and_removes_packages(tmp_path: Path) -> None:
    system = overlaid(tmp_path, EXAMPLES["packages.yaml"]).packages.system
    assert set(system) - set(shipped().packages.system) == {"cmake", "expat-dev", "gnupg"}
    assert set(shipped().packages.system) - set(system) == {"gfortran"}


def test_the_documented_overlay_changes_registry_and_mirrors(tmp_path: Path) -> None:
    matrix = overlaid(tmp_path, EXAMPLES["mirrors.yaml"])
    assert matrix.image.registry == "registry.example.com:5000"
    assert matrix.image.licence == shipped().image.licence
    assert matrix.sources.upstream.mirror == "https://reader:s3cret@mirror.example.com/alpine"


def test_the_documented_overlay_drops_interpreters(tmp_path: Path) -> None:
    matrix = overlaid(tmp_path, EXAMPLES["interpreters.yaml"])
    assert list(matrix.interpreters) == [
        "cp39-cp39",
        "cp311-cp311",
        "cp312-cp312",
        "cp313-cp313",
        "cp314-cp314",
    ]


def test_there_are_three_documented_overlays() -> None:
    assert len(EXAMPLES) == 3


def test_architectures_tools_policies_and_libraries_can_be_dropped(tmp_path: Path) -> None:
    matrix = overlaid(
        tmp_path,
        "extends: default\narchitectures: {s390x: null, ppc64le: null}\ntools: {isolated: {uv: null}}\n"
        "policies: {musllinux_1_1: null}\nlibraries: {mpdecimal: null, tk: null}\n",
    )
    assert list(matrix.architectures) == ["x86_64", "i686", "aarch64", "armv7l"]
    assert "uv" not in matrix.tools.isolated
    assert list(matrix.policies) == ["musllinux_1_2"]
    assert "tk" not in matrix.libraries


def test_what_was_dropped_on_purpose_may_still_be_named_elsewhere(tmp_path: Path) -> None:
    """tools.host names cp313, policies.musllinux_1_1.without names mpdecimal, uv.without names s390x."""
    matrix = overlaid(
        tmp_path,
        "extends: default\ninterpreters: {cp313-cp313: null}\nlibraries: {mpdecimal: null}\n"
        "architectures: {s390x: null}\n",
    )
    assert "cp313-cp313" in matrix.tools.host


def test_the_tools_lock_serves_the_hosts_that_are_left(tmp_path: Path) -> None:
    matrix = overlaid(tmp_path, "extends: default\ninterpreters: {cp311-cp311: null}\n")
    assert {oldest for _, oldest in wanted(matrix).values()} == {"3.9", "3.12"}


def test_dropping_cp39_is_allowed_and_warned_of(tmp_path: Path) -> None:
    matrix = overlaid(tmp_path, "extends: default\ninterpreters: {cp39-cp39: null}\n")
    assert "cibuildwheel" in warnings(matrix)[0]


def test_dropping_every_interpreter_that_runs_the_tools_is_refused(tmp_path: Path) -> None:
    tags = [tag for tag in shipped().interpreters if tag in shipped().tools.host]
    dropped = ", ".join(f"{tag}: null" for tag in tags)
    (found,) = refused(tmp_path, f"extends: default\ninterpreters: {{{dropped}}}\n")
    assert "tools.host: none of these interpreters is left" in found


def test_null_on_a_value_that_may_be_null_sets_it(tmp_path: Path) -> None:
    matrix = overlaid(tmp_path, "extends: default\nlibraries: {zstd: {run: null, since: null}}\n")
    assert matrix.libraries["zstd"].run is None
    assert matrix.libraries["zstd"].since is None


def test_a_thirteenth_row_is_data_only(tmp_path: Path) -> None:
    matrix = overlaid(
        tmp_path,
        "extends: default\narchitectures:\n  riscv64: {apk: riscv64, platform: linux/riscv64, bits: 64,\n"
        "    triple: riscv64-alpine-linux-musl, loader: ld-musl-riscv64.so.1, endian: little, march: [],\n"
        "    rust: riscv64gc-unknown-linux-musl, uname: [riscv64], entry: [], qemu: riscv64, relative: 3}\n",
    )
    assert list(matrix.architectures)[-1] == "riscv64"


def test_overlays_are_applied_in_the_order_given(tmp_path: Path) -> None:
    matrix = overlaid(
        tmp_path,
        "extends: default\nimage: {registry: one.test, organisation: first}\n",
        "extends: default\nimage: {registry: two.test}\n",
    )
    assert (matrix.image.registry, matrix.image.organisation) == ("two.test", "first")


def test_an_overlay_may_extend_another_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/company.yaml").write_text("extends: default\nimage: {registry: company.test}\n")
    matrix = overlaid(tmp_path, "extends: base/company.yaml\nimage: {organisation: mine}\n")
    assert (matrix.image.registry, matrix.image.organisation) == ("company.test", "mine")


def test_a_file_without_extends_is_a_matrix_of_its_own(tmp_path: Path) -> None:
    matrix = overlaid(tmp_path, SHIPPED.read_text().replace("registry: quay.io", "registry: own.test"))
    assert matrix.image.registry == "own.test"


def test_a_forgotten_extends_is_hinted_at(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("image: {registry: x.test}\n")
    with pytest.raises(MatrixError) as caught:
        load(SHIPPED, [tmp_path / "m.yaml"])
    assert "extends: default" in caught.value.hint


def test_two_matrices_of_their_own_are_refused(tmp_path: Path) -> None:
    text = SHIPPED.read_text()
    (found,) = refused(tmp_path, text, text)
    assert "overlay1.yaml: a second matrix of its own" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("extends: [default]\n", "overlay0.yaml:1: extends: not a name"),
        ("extends: 3\n", "overlay0.yaml:1: extends: not a name"),
        ("extends: overlay0.yaml\n", "overlay0.yaml:1: extends: "),
        ("extends: nowhere.yaml\n", "overlay0.yaml:1: extends: no such file: "),
        (f"extends: {'x' * 5000}\n", "overlay0.yaml:1: extends: no such file: "),
        ("extends: default\n- a\n", "overlay0.yaml:2: not YAML"),
        ("extends: default\nimage: {registrar: x}\n", "overlay0.yaml:2: image.registrar: unknown key"),
        ("extends: default\n\nimage:\n  registry: 5\n", "overlay0.yaml:4: image.registry: 5 (a number)"),
        ("extends: default\ninterpreters: {cp38-cp38: null}\n", "cp38-cp38: nothing of this name to drop"),
        ("extends: default\npackages: {system: {remove: [bsh]}}\n", "bsh is not in the list; allowed: one of:"),
        ("extends: default\npackages: {system: {append: [x]}}\n", "append: not an edit of a list; allowed: add"),
        ("extends: default\npackages: {system: {add: x}}\n", "packages.system.add: not a list"),
        ("extends: default\npackages: {system: {add: [[x]]}}\n", "a list or mapping inside the list"),
        ("extends: default\npackages: {systems: {add: [x]}}\n", "no list of this name to edit"),
        ("extends: default\nimage: {add: [x]}\n", "overlay0.yaml:2: image.add: unknown key"),
        ("extends: default\nimage: null\n", "image: missing"),
        ("extends: default\npackages: {system: {add: [B C]}}\n", 'overlay0.yaml:2: packages.system[29]: "B C"'),
        ('extends: default\npolicies: {musllinux_1_2: {trials: ["3.20"]}}\n', "overlay0.yaml:2: policies"),
    ],
)
def test_a_mistake_points_into_the_overlay(tmp_path: Path, text: str, expected: str) -> None:
    assert any(expected in line for line in refused(tmp_path, text))


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(MatrixError, match="comes back to this file"):
        load(SHIPPED, [tmp_path / "a.yaml"])


def test_mistakes_of_several_overlays_are_reported_together(tmp_path: Path) -> None:
    found = refused(
        tmp_path, "extends: default\nimage: {registry: 1}\n", "extends: default\nimage: {organisation: 2}\n"
    )
    assert [line.split(":")[0] for line in found] == ["overlay0.yaml", "overlay1.yaml"]


# The laws of merging, on trees of any shape.

NAMES = st.sampled_from(["a", "b", "c", "d"])
PLACES = st.builds(Place, st.sampled_from(["x.yaml", "y.yaml"]), st.integers(1, 99))
LEAVES = st.builds(lambda place, value: Scalar(place=place, value=value, text=str(value)), PLACES, st.integers(0, 5))


def table(place: Place, entries: Mapping[str, Tree]) -> Table:
    return Table(place=place, entries={name: Entry(key=place, value=value) for name, value in entries.items()})


def tables(values: st.SearchStrategy[Tree]) -> st.SearchStrategy[Table]:
    return st.builds(table, PLACES, st.dictionaries(NAMES, values, max_size=4))


def grow(values: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    listed = st.builds(
        lambda place, items: Items(place=place, items=tuple(items)), PLACES, st.lists(LEAVES, max_size=3)
    )
    return listed | tables(values)


TREES = tables(st.recursive(LEAVES, grow, max_leaves=8))
NOTHING = table(Place("x.yaml", 1), {})


def merged(base: Table, over: Table) -> Table:
    result = overlay.merge(base, over)
    assert result.tree is not None
    return result.tree


@given(base=TREES)
@settings(max_examples=60, deadline=None)
def test_an_empty_overlay_changes_nothing(base: Table) -> None:
    assert merged(base, NOTHING) == base


@given(over=TREES)
@settings(max_examples=60, deadline=None)
def test_on_nothing_an_overlay_is_itself(over: Table) -> None:
    assert plain(merged(NOTHING, over)) == plain(over)


@given(base=TREES, over=TREES)
@settings(max_examples=60, deadline=None)
def test_applying_an_overlay_twice_is_applying_it_once(base: Table, over: Table) -> None:
    once = merged(base, over)
    assert plain(merged(once, over)) == plain(once)


@given(base=TREES, over=TREES)
@settings(max_examples=60, deadline=None)
def test_what_an_overlay_does_not_name_stays_with_its_place(base: Table, over: Table) -> None:
    result = merged(base, over)
    for name, entry in base.entries.items():
        if name not in over.entries:
            assert result.entries[name] == entry


@given(base=st.lists(NAMES, unique=True), added=st.lists(NAMES), removed=st.lists(NAMES, unique=True))
@settings(max_examples=60, deadline=None)
def test_a_list_keeps_its_order_loses_what_is_removed_and_gains_what_is_added(
    base: list[str], added: list[str], removed: list[str]
) -> None:
    place = Place("x.yaml", 1)

    def items(names: list[str]) -> Items:
        return Items(place=place, items=tuple(Scalar(place=place, value=n, text=n) for n in names))

    edits = table(place, {"add": items(added), "remove": items(removed)})
    result = overlay.merge(table(place, {"list": items(base)}), table(place, {"list": edits}))
    kept = [name for name in base if name not in removed]
    assert result.tree is not None
    assert plain(result.tree)["list"] == list(dict.fromkeys([*kept, *added]))
    assert len(result.mistakes) == len(set(removed) - set(base))
