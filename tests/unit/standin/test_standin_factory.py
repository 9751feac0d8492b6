"""Trees, keys, the published mirror, and the command's own face."""

import json
import os
import subprocess
import sys
import tarfile
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from standin import __main__ as cli
from standin import control, mirror
from standin.apkpack import Metadata, pack, signing_key
from standin.apt import Record
from standin.cache import Cache
from standin.catalogue import Catalogue, Inputs, Recipe, Target, load_targets
from standin.errors import StandinError
from standin.factory import Factory
from standin.process import run


class FakeApt:
    """Every package has one version, which a test can change."""

    version = "1"

    def binaries(self, suite: str, arch: str, packages: list[str]) -> list[Record]:
        return [Record(package=name, version=self.version, files={suite: arch}) for name in packages]

    def debs(self, suite: str, arch: str, packages: list[str]) -> list[tuple[Record, Path]]:
        return [(record, Path("/nowhere")) for record in self.binaries(suite, arch, packages)]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what the fake builder has built."""
    names: list[str] = []

    def build(recipe: Recipe, target: Target, inputs: Inputs, out: Path) -> None:
        names.append(recipe.name)
        assert list(inputs.work.iterdir()) == []
        if recipe.options.get("deb"):
            inputs.deb("trixie", target.debian_arch, recipe.options["deb"])
        if recipe.options.get("fail"):
            run(["sh", "-c", "echo reason; exit 3"], log=inputs.log)
        content = [inputs.tree(need).joinpath("file").read_text() for need in recipe.needs]
        (out / "file").write_text(f"{recipe.name}({' '.join(content)})")

    module = types.ModuleType("standin.builders.fake")
    module.VERSION, module.build = 1, build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "standin.builders.fake", module)
    return names


def recipe(name: str, *needs: str, **options: Any) -> Recipe:
    return Recipe(name=name, version="1-r0", builder="fake", policy="p", needs=needs, options=options)


def factory(root: Path, apt: FakeApt | None = None) -> Factory:
    return Factory(Cache(root), apt or FakeApt(), load_targets()["x86_64"], lambda _: None)  # type: ignore[arg-type]


def test_a_builder_sees_the_trees_it_needs_and_runs_once(tmp_path: Path, built: list[str]) -> None:
    for _ in range(2):
        makers = factory(tmp_path)
        trees = [makers.tree(each) for each in (recipe("a"), recipe("b", "a"))]
    assert trees[1].path.joinpath("file").read_text() == "b(a())"
    assert built == ["a", "b"]


def test_what_changes_a_product_changes_it_and_those_that_need_it_only(tmp_path: Path, built: list[str]) -> None:
    first = factory(tmp_path)
    for each in (recipe("a"), recipe("b", "a"), recipe("c")):
        first.tree(each)
    second = factory(tmp_path)
    for each in (recipe("a", option=1), recipe("b", "a"), recipe("c")):
        second.tree(each)
    assert built == ["a", "b", "c", "a", "b"]


def test_a_builders_new_version_builds_anew(tmp_path: Path, built: list[str]) -> None:
    factory(tmp_path).tree(recipe("a"))
    sys.modules["standin.builders.fake"].VERSION = 2  # type: ignore[attr-defined]
    factory(tmp_path).tree(recipe("a"))
    assert built == ["a", "a"]


def test_a_refresh_rebuilds_what_debian_has_changed(tmp_path: Path, built: list[str]) -> None:
    apt = FakeApt()
    both = (recipe("a", deb="gcc"), recipe("b"))
    for each in both:
        factory(tmp_path, apt).tree(each)
    apt.version = "2"
    for each in both:
        factory(tmp_path, apt).tree(each)
    assert built == ["a", "b"], "without a refresh nothing moves"
    for each in both:
        factory(tmp_path, apt).tree(each, recheck=True)
    assert built == ["a", "b", "a"]


def test_known_trees_are_found_without_building(tmp_path: Path, built: list[str]) -> None:
    catalogue = Catalogue("p", [recipe("a"), recipe("b", "a"), recipe("c", "b")])
    makers = factory(tmp_path)
    makers.tree(recipe("a"))
    makers.tree(recipe("b", "a"))
    assert [tree.recipe.name for tree in factory(tmp_path).known(catalogue)] == ["a", "b"]
    assert built == ["a", "b"]


def test_a_failing_builder_names_the_recipe_and_its_log(tmp_path: Path, built: list[str]) -> None:
    with pytest.raises(StandinError, match=r"^a for x86_64: exit code 3") as caught:
        factory(tmp_path).tree(recipe("a", fail=True))
    assert "reason" in caught.value.message
    log = Path(caught.value.hint.rpartition(" ")[2])
    assert "reason" in log.read_text()
    assert built == ["a"]
    assert list((tmp_path / "products").iterdir()) == []


def test_a_builder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    unknown = Recipe(name="a", version="1-r0", builder="nonesuch", policy="p")
    with pytest.raises(StandinError, match="no builder 'nonesuch'"):
        factory(tmp_path).tree(unknown)


# -- the published mirror -------------------------------------------------------------------------------------


def repository(cache: Cache, tmp_path: Path, *names: str) -> mirror.Repository:
    (tmp_path / "tree").mkdir(exist_ok=True)
    packages = []
    for name in names:
        metadata = Metadata(name=name, version="1-r0", arch="x86_64")
        out = tmp_path / metadata.file_name
        packages.append(mirror.Package(path=out, entry=pack(metadata, tmp_path / "tree", out, signing_key(cache))))
    return mirror.Repository(place="v3.20/main/x86_64", packages=packages)


def indexed(root: Path) -> list[str]:
    with tarfile.open(root / "site/alpine/v3.20/main/x86_64/APKINDEX.tar.gz") as archive:
        stream = archive.extractfile("APKINDEX")
        assert stream is not None
        return [line.removeprefix("P:") for line in stream.read().decode().splitlines() if line.startswith("P:")]


def publish(cache: Cache, *repositories: mirror.Repository, files: Mapping[str, Path] | None = None) -> dict[str, str]:
    return mirror.publish(cache, repositories, files or {}, signing_key(cache))


def test_packages_and_files_are_laid_out_as_on_alpines_mirrors(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    archive = tmp_path / "Python.tar.xz"
    archive.write_text("source")
    sums = publish(cache, repository(cache, tmp_path, "a", "b"), files={"python/3.9.2/Python-3.9.2.tar.xz": archive})
    site = cache.root / "site"
    assert (site / "python/3.9.2/Python-3.9.2.tar.xz").read_text() == "source"
    assert (site / "alpine/v3.20/main/x86_64/a-1-r0.apk").exists()
    assert indexed(cache.root) == ["a", "b"]
    assert list(sums) == ["v3.20/main/x86_64"]


def test_the_same_packages_give_the_same_site_and_index(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    first = publish(cache, repository(cache, tmp_path, "a"))
    place = (cache.root / "site").resolve()
    assert publish(cache, repository(cache, tmp_path, "a")) == first
    assert (cache.root / "site").resolve() == place


def test_the_site_before_the_last_is_kept_for_its_readers_and_no_older_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    places = []
    for number, names in enumerate((["a"], ["a", "b"], ["a", "b", "c"])):
        publish(cache, repository(cache, tmp_path, *names))
        places.append((cache.root / "site").resolve())
        os.utime(places[-1], (number, number))
    assert indexed(cache.root) == ["a", "b", "c"]
    assert [place.exists() for place in places] == [False, True, True]


# -- verbs ----------------------------------------------------------------------------------------------------


def test_down_and_status_where_nothing_is_are_calm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--cache", str(tmp_path), "down"]) == 0
    assert cli.main(["--cache", str(tmp_path), "status"]) == 1
    out = capsys.readouterr().out
    assert "nothing was running" in out
    assert "run `standin up`" in out


def test_status_as_json_can_be_read_by_a_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--cache", str(tmp_path), "status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "cache": str(tmp_path),
        "running": {"mirror": False, "registry": False},
        "state": None,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--arch", "sparc"], "no architecture sparc"),
        (["up", "--only", "nonesuch"], "no recipe named 'nonesuch'"),
        (["up", "--policy", "musllinux_9_9"], "musllinux_9_9"),
        (["up", "--minirootfs", "/nonesuch"], "there is no folder /nonesuch"),
        (["tree", "nonesuch"], "no recipe named 'nonesuch'"),
        (["tree", "--arch", "sparc", "x"], "no architecture sparc"),
    ],
)
def test_a_mistaken_wish_is_one_line_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(["--cache", str(tmp_path), *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert "hint: " in said
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [[], ["fly"], ["tree"]])
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(control, "_stock", full)
    with pytest.raises(StandinError, match="No space left on device") as caught:
        control.up(control.Options(cache=tmp_path), print)
    assert "make room" in caught.value.hint


def test_a_failing_program_is_shown_so_that_it_can_be_run_again(tmp_path: Path) -> None:
    with pytest.raises(StandinError) as caught:
        run(["sh", "-c", "echo 'went wrong' >&2; exit 7"])
    assert "exit code 7 from: sh -c 'echo '\"'\"'went wrong'\"'\"' >&2; exit 7'" in caught.value.message
    assert caught.value.message.endswith("    went wrong")
    with pytest.raises(StandinError, match="nonesuch is not on this machine"):
        run(["nonesuch"])
    with pytest.raises(StandinError, match="no folder"):
        run(["true"], cwd=tmp_path / "absent")


def test_two_ups_on_one_cache_come_one_after_the_other(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    said: list[str] = []
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom standin.cache import Cache\n"
        "with Cache(Path(sys.argv[1])).lock('up'):\n print('held', flush=True)\n time.sleep(0.5)\n"
    )

    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        started = time.monotonic()
        with control._exclusive(cache, said.append):
            assert time.monotonic() - started > 0.2
    assert said == ["another `standin up` is at work on this cache: waiting for it"]
