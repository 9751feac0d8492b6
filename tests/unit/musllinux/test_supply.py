"""The supply: upstream as locked, the stand-in as its state file says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musllinux import lockfile, matrix, supply
from musllinux.apkindex import Package
from musllinux.errors import FactoryError
from musllinux.model import Selection, Supply, resolve

from .factory import everything

ROOT = Path(__file__).parents[3]
MATRIX = matrix.load(ROOT / "matrix.yaml")
STATE: dict[str, Any] = {
    "format": 1,
    "mirror": "http://127.0.0.1:1/alpine",
    "python": "http://127.0.0.1:1/python",
    "registry": "127.0.0.1:5",
    "key": "/cache/standin@local.rsa.pub",
    "bases": [
        {"apk_arch": "x86_64", "release": "3.20", "version": "3.20.3", "origin": "minirootfs", "role": "build",
         "policy": "musllinux_1_2", "musl": "1.2.5", "digest": "sha256:a",
         "reference": "127.0.0.1:5/library/alpine:3.20.3"},
        {"apk_arch": "x86_64", "release": "1.2", "version": "1.2.2", "origin": "composed", "role": "trial",
         "policy": "", "musl": "1.2.2", "reference": "127.0.0.1:5/library/alpine-floor:1.2.2", "digest": "sha256:b"},
    ],
    "archives": {"3.14.6": {"file": "Python-3.14.6.tar.xz", "sha256": "b" * 64}},
    "index": {},
    "lacks": {"musllinux_1_2/x86_64": ["gfortran"]},
}  # fmt: skip


def standin(tmp_path: Path, **changes: Any) -> Supply:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({**STATE, **changes}))
    return supply.standin(MATRIX, path)


def test_the_standins_base_stands_in_the_place_of_the_policys_own(tmp_path: Path) -> None:
    bases = standin(tmp_path).bases
    assert bases["3.22", "x86_64"].version == "3.20.3"
    assert bases["3.20", "x86_64"].version == "3.20.3", "it is a trial too"
    assert bases["1.2.2", "x86_64"].version == "1.2.2"
    assert ("3.22", "i686") not in bases


def test_its_images_are_marked_and_say_what_they_lack(tmp_path: Path) -> None:
    made = standin(tmp_path)
    image = resolve(MATRIX, made, Selection(ids=("musllinux_1_2_x86_64",)))[0]
    assert not made.publishable
    assert image.labels["io.github.musllinux-factory.standin"] == "1"
    assert image.environment["MUSLLINUX_STANDIN"] == "1"
    assert image.lacking == ("gfortran", "crypt", "rust")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "1", json.dumps({"format": 2}), json.dumps({"format": 1})),
        *(
            json.dumps({**STATE, name: wrong})
            for name in ("bases", "archives", "lacks", "index")
            for wrong in (1, ["a"])
        ),
    ],
)
def test_a_damaged_state_is_one_line_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(FactoryError, match=str(path)) as caught:
        supply.standin(MATRIX, path)
    assert "musllinux standin up" in caught.value.hint


def test_a_standin_that_was_never_up_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FactoryError, match="the stand-in is not up"):
        supply.standin(MATRIX, tmp_path / "state.json")


def test_one_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FactoryError, match="does not answer"):
        standin(tmp_path, index={"v3.20/main/x86_64": "e" * 64})


def test_upstream_has_every_base_and_series_of_the_matrix() -> None:
    made = supply.upstream(MATRIX, lockfile.load(ROOT / "lock.yaml"))
    assert len(resolve(MATRIX, made)) == len(MATRIX.policies) * len(MATRIX.architectures)
    assert made.publishable


def test_an_interpreter_that_is_not_locked_is_said_and_not_left_out(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text('extends: default\ninterpreters: {cp38-cp38: {series: "3.8"}}\n')
    widened = matrix.load(ROOT / "matrix.yaml", [overlay])
    with pytest.raises(FactoryError, match="no CPython archive for cp38-cp38") as caught:
        supply.upstream(widened, lockfile.load(ROOT / "lock.yaml"))
    assert "musllinux lock" in caught.value.hint


def test_build_arguments_follow_the_packages_of_their_stage_alone(tmp_path: Path) -> None:
    def contents(checksum: str) -> Any:
        made = standin(tmp_path)
        packages = (Package(name="git", checksum=checksum, depends=(), provides=()),)
        changed = made.__class__(**{**vars(made), "packages": {("3.20", "x86_64"): packages}})
        return resolve(MATRIX, changed, Selection(ids=("musllinux_1_2_x86_64",)))[0].contents

    before, after = contents("one"), contents("two")
    assert {name for name in before if before[name] != after[name]} == {"SYSTEM_CONTENT"}


def test_what_the_index_offers_is_told_by_stage_for_those_that_leave_no_database_in_the_image() -> None:
    """Rust, copied out of a root of its own, and what compiled the interpreters are in no list of what is installed."""

    def package(name: str, version: str, *depends: str) -> Package:
        return Package(name=name, checksum=version, depends=depends, provides=(), version=version)

    made = replace(
        everything(MATRIX),
        machine="x86_64",
        packages={
            ("3.22", "x86_64"): (package("clang", "20-r0", "so:libLLVM.so"), package("git", "2-r0")),
            ("3.22", "armv7"): (package("zlib-dev", "1.3-r1"), package("git", "2-r1")),
            (MATRIX.rust.alpine, "x86_64"): (package("rust-src", "1.91-r0"),),
            (MATRIX.rust.alpine, "armv7"): (package("rust", "1.91-r1", "scudo"), package("scudo", "1-r0")),
        },
    )
    (image,) = resolve(MATRIX, made, Selection(ids=("musllinux_1_2_armv7l",)))
    assert image.offered == {
        "native": ("clang-20-r0",),
        "sysroot": ("zlib-dev-1.3-r1",),
        "rust-builder": ("rust-src-1.91-r0",),
        "rust": ("rust-1.91-r1", "scudo-1-r0"),
    }


def test_native_stages_follow_the_building_machine_s_packages_whatever_the_image_is(tmp_path: Path) -> None:
    def contents(arch: str, **checksums: str) -> Any:
        made = standin(tmp_path, bases=[{**STATE["bases"][0], "apk_arch": "armv7"}])
        served = {
            ("3.20", each): (Package(name="clang", checksum=checksum, depends=(), provides=()),)
            for each, checksum in checksums.items()
        }
        changed = made.__class__(**{**vars(made), "packages": served, "machine": "x86_64"})
        return resolve(MATRIX, changed, Selection(ids=(f"musllinux_1_2_{arch}",)))[0].contents["NATIVE_CONTENT"]

    assert contents("armv7l", x86_64="one") == contents("armv7l", x86_64="one", armv7="two")
    assert contents("armv7l", x86_64="one") != contents("armv7l", x86_64="two")
