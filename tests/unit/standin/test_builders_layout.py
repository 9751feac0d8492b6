"""How a package is laid out: which files are taken, where they go, and what is changed after that."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standin.builders.layout import finish, matching, place, rules
from standin.errors import StandinError


def tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def everything(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def test_a_bare_pattern_keeps_each_file_where_it_is(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", usr__bin__a="1", usr__bin__b="2", usr__lib__c="3")
    place(rules(["usr/bin/*"]), [root], tmp_path / "out")
    assert everything(tmp_path / "out") == {"usr/bin/a": "1", "usr/bin/b": "2"}


def test_a_folder_to_go_to_keeps_the_names_and_a_file_to_go_to_renames(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", usr__bin__a="1", usr__bin__b="2")
    take = [{"from": "usr/bin/*", "to": "bin/"}, {"from": "usr/bin/a", "to": "opt/first"}]
    place(rules(take), [root], tmp_path / "out")
    assert everything(tmp_path / "out") == {"bin/a": "1", "bin/b": "2", "opt/first": "1"}


def test_everything_below_a_folder_keeps_its_path_below_it(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", x86_64__c__deep__h="1", x86_64__c__h="2", other="3")
    place(rules([{"from": "x86_*/c/**", "to": "usr/include/"}]), [root], tmp_path / "out")
    assert everything(tmp_path / "out") == {"usr/include/deep/h": "1", "usr/include/h": "2"}


def test_links_stay_links_even_if_they_point_nowhere_yet(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", lib__libz__so__1="1")
    (root / "lib/libz.so").symlink_to("../elsewhere/libz.so.1")
    place(rules(["lib/*.so"]), [root], tmp_path / "out")
    assert everything(tmp_path / "out") == {"lib/libz.so": "-> ../elsewhere/libz.so.1"}


def test_following_copies_what_a_link_points_to(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", real="text")
    (root / "link").symlink_to("real")
    place(rules([{"from": "link", "to": "copy", "follow": True}]), [root], tmp_path / "out")
    assert everything(tmp_path / "out") == {"copy": "text"}


def test_a_later_root_overwrites_an_earlier_one(tmp_path: Path) -> None:
    roots = [tree(tmp_path / "one", a="1", b="1"), tree(tmp_path / "two", a="2")]
    place(rules(["*"]), roots, tmp_path / "out")
    assert everything(tmp_path / "out") == {"a": "2", "b": "1"}


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StandinError, match=r"nothing matches usr/bin/gone in root"):
        place(rules(["usr/bin/gone"]), [tree(tmp_path / "root", a="1")], tmp_path / "out")


def test_a_key_nobody_knows_is_refused() -> None:
    with pytest.raises(StandinError, match="cannot read"):
        rules([{"from": "a", "into": "b"}])


def test_a_star_stays_within_one_name(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", a__b="1", c="2")
    assert [path.name for path in matching(root, "*")] == ["a", "c"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no bug
@given(st.lists(st.text("ab.", min_size=1, max_size=3).filter(lambda name: name.strip(".")), min_size=1))
def test_a_path_without_wildcards_matches_itself_alone(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    root = tmp_path_factory.mktemp("root")
    path = root.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    assert matching(root, "/".join(parts)) == [path]


def test_finishing_drops_edits_writes_and_links_in_that_order(tmp_path: Path) -> None:
    out = tree(tmp_path, a__gone="1", gone="2", conf="old\nold again\n", tool="binary")
    options = {
        "drop": ["a", "gone", "never-there"],
        "edit": {"conf": [["^old$", "new"]]},
        "executable": ["tool"],
        "write": {"bin/run": "#!/bin/sh\n", "etc/text": "words\n"},
        "links": {"bin/go": "run"},
    }
    finish(options, out)
    assert everything(out) == {
        "bin/go": "-> run",
        "bin/run": "#!/bin/sh\n",
        "conf": "new\nold again\n",
        "etc/text": "words\n",
        "tool": "binary",
    }
    assert [(out / name).stat().st_mode & 0o777 for name in ("bin/run", "etc/text", "tool")] == [0o755, 0o644, 0o755]


def test_an_edit_that_changes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StandinError, match="matches nothing in conf"):
        finish({"edit": {"conf": [["^absent$", ""]]}}, tree(tmp_path, conf="text\n"))
