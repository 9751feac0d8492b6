"""What of the stand-in an image needs."""

from musllinux import rehearsal
from musllinux.model import Selection

from .factory import shipped


def test_a_foreign_image_needs_what_its_native_stages_install_on_the_building_machine() -> None:
    matrix = shipped()
    part = rehearsal.part_for(matrix, Selection(arches=("armv7l",), policies=("musllinux_1_2",)))
    assert part.architectures == ("armv7",)
    assert {"clang", "lld", "make", "rust-src", "cargo"} <= set(part.native)
    assert set(matrix.packages.native) | set(matrix.rust.builder) == set(part.native)
