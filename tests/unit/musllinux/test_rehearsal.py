"""What of the stand-in an image needs."""

from pathlib import Path

import pytest

from musllinux import rehearsal
from musllinux.errors import UsageError
from musllinux.model import Selection
from standin.bases import ENVIRONMENT

from .factory import shipped


def test_a_foreign_image_needs_what_its_native_stages_install_on_the_building_machine() -> None:
    matrix = shipped()
    part = rehearsal.part_for(matrix, Selection(arches=("armv7l",), policies=("musllinux_1_2",)))
    assert part.architectures == ("armv7",)
    assert {"clang", "lld", "make", "rust-src", "cargo"} <= set(part.native)
    assert set(matrix.packages.native) | set(matrix.rust.builder) == set(part.native)


def test_images_without_recipes_or_without_a_base_are_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    asked = Selection(arches=("x86_64",))
    there, left_out = rehearsal.rehearsable(shipped(), asked)
    assert (there.ids, left_out) == (("musllinux_1_2_x86_64",), ("musllinux_1_1_x86_64",))
    (tmp_path / "alpine-minirootfs-3.12.12-x86_64.tar.gz").touch()
    there, left_out = rehearsal.rehearsable(shipped(), asked)
    assert (there.ids, left_out) == (("musllinux_1_2_x86_64", "musllinux_1_1_x86_64"), ())


def test_where_nothing_can_be_rehearsed_the_remedy_names_the_tarballs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    with pytest.raises(UsageError, match="no base for musllinux_1_1_x86_64") as caught:
        rehearsal.rehearsable(shipped(), Selection(ids=("musllinux_1_1_x86_64",)))
    assert ENVIRONMENT in (caught.value.hint or "")
