"""Every apk package the images ask for exists upstream; tests/data/alpine-packages.yaml says how that is known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from musllinux.matrix import load
from musllinux.model import Image, resolve
from musllinux.schema import Matrix

from .factory import ROOT, SHIPPED, everything, shipped

TABLE: dict[str, Any] = yaml.safe_load((ROOT / "tests/data/alpine-packages.yaml").read_text())
PACKAGES: dict[str, dict[str, Any]] = TABLE["packages"]
IMAGES = resolve(shipped(), everything(shipped()))


def asked(image: Image) -> set[str]:
    """What any stage of the image's Dockerfile installs; the native stages' may run on every architecture."""
    return {*image.system_packages, *image.sysroot_packages, *image.native_packages}


def repository(package: str, release: str, apk_arch: str) -> str | None:
    """The repository upstream has the package in, or None where it has not or nobody knows."""
    entry = PACKAGES.get(package, {})
    arches = entry.get("only", {}).get(release, TABLE["architectures"])
    found: str | None = entry.get(release) if apk_arch in arches else None
    return found


def missing(matrix: Matrix) -> Iterator[str]:
    for image in resolve(matrix, everything(matrix)):
        used = {url.rpartition("/")[2] for url in image.repositories}
        for package in sorted(asked(image)):
            if repository(package, image.base.release, image.arch.apk) not in used:
                yield f"{image.id}: {package}"
        if image.rust:
            for package in sorted({*image.rust.packages, *image.rust.builder}):
                if repository(package, image.rust.release, image.arch.apk) not in used:
                    yield f"{image.id}: {package} of Alpine {image.rust.release}"


def test_there_are_twelve_images() -> None:
    assert len(IMAGES) == 12


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.id)
def test_upstream_has_every_package_in_a_repository_the_image_uses(image: Image) -> None:
    assert [name for name in missing(shipped()) if name.startswith(f"{image.id}:")] == []


@pytest.mark.parametrize("wrong", ["libzstd", "llvm-10", "musl-devel", "ninja-build"])
def test_a_package_upstream_does_not_have_is_found(wrong: str, tmp_path: Path) -> None:
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(f"extends: default\npackages: {{system: {{add: [{wrong}]}}}}\n")
    assert f"musllinux_1_1_x86_64: {wrong}" in missing(load(SHIPPED, [overlay]))


def test_a_package_missing_on_one_architecture_is_found(tmp_path: Path) -> None:
    overlay = tmp_path / "rust.yaml"
    overlay.write_text("extends: default\npackages: {system: {add: [rust]}}\n")
    assert list(missing(load(SHIPPED, [overlay]))) == ["musllinux_1_1_s390x: rust"]


def test_what_a_release_lacks_is_excepted_by_its_policy_alone() -> None:
    """`without` names only what upstream really lacks: an entry too many would take something from users."""
    for name, policy in shipped().policies.items():
        for package in policy.without:
            assert PACKAGES[package][policy.alpine] is None, (name, package)


def test_every_entry_says_where_it_is_known_from() -> None:
    for name, entry in PACKAGES.items():
        assert entry["evidence"], name
        assert {entry[key] for key in entry if key[0].isdigit()} <= {"main", "community", None}, name
