"""What the checks of the floor expect, by what the floor exports."""

from musllinux.smoke.checks.floor import fallback_says


def test_a_project_finds_what_the_floor_has_also_where_the_image_s_libc_has_no_more() -> None:
    """musllinux_1_1's base has the floor's own musl: nothing is newer there, and yet statx is not to be had."""
    assert fallback_says({"read", "preadv"}) == "statx=no qsort_r=no preadv2=no"
    assert fallback_says({"qsort_r", "read"}) == "statx=no qsort_r=yes preadv2=no"
