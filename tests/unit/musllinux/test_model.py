"""model.resolve: from matrix and supply to images with every value resolved."""

from dataclasses import replace
from typing import Any

import pytest

from musllinux.errors import FactoryError, UsageError
from musllinux.model import Image, Selection, Supply, ordinal, resolve

from .factory import everything, shipped

MATRIX = shipped()


def supply(**changes: Any) -> Supply:
    return replace(everything(MATRIX), **changes)


def image(name: str, from_supply: Supply | None = None) -> Image:
    (found,) = resolve(MATRIX, from_supply or supply(), Selection(ids=(name,)))
    return found


def test_every_image_of_the_matrix_is_resolved_in_its_order() -> None:
    ids = [image.id for image in resolve(MATRIX, supply())]
    assert len(ids) == 12
    assert ids[0] == "musllinux_1_2_x86_64"
    assert ids[-1] == "musllinux_1_1_s390x"


def test_selections_meet() -> None:
    chosen = resolve(MATRIX, supply(), Selection(policies=("musllinux_1_1",), arches=("i686", "armv7l")))
    assert [image.id for image in chosen] == ["musllinux_1_1_i686", "musllinux_1_1_armv7l"]


@pytest.mark.parametrize(
    "selection",
    [
        Selection(ids=("x",)),
        Selection(policies=("x",)),
        Selection(arches=("armv7",)),
        Selection(interpreters=("cp38-cp38",)),
    ],
)
def test_an_unknown_name_is_bad_usage_and_the_known_ones_are_hinted_at(selection: Selection) -> None:
    with pytest.raises(UsageError, match="in the matrix") as caught:
        resolve(MATRIX, supply(), selection)
    assert caught.value.hint.startswith("one of: ")


def test_the_armv7l_image_speaks_three_dialects() -> None:
    arch = image("musllinux_1_2_armv7l").arch
    assert (arch.name, arch.apk, arch.platform) == ("armv7l", "armv7", "linux/arm/v7")
    assert arch.loader == "ld-musl-armhf.so.1"
    assert arch.entry == ("linux32",)


def test_libc_is_named_after_apk_s_architecture_and_not_after_the_loader() -> None:
    sonames = {name: image(f"musllinux_1_2_{name}").arch.libc for name in ("x86_64", "i686", "armv7l", "ppc64le")}
    assert sonames == {
        "x86_64": "libc.musl-x86_64.so.1",
        "i686": "libc.musl-x86.so.1",
        "armv7l": "libc.musl-armv7.so.1",
        "ppc64le": "libc.musl-ppc64le.so.1",
    }


def test_what_a_policy_is_without_is_neither_installed_nor_linked() -> None:
    old, new = image("musllinux_1_1_x86_64"), image("musllinux_1_2_x86_64")
    assert "mpdecimal" in new.system_packages
    assert "mpdecimal-dev" in new.sysroot_packages
    assert not {"mpdecimal", "mpdecimal-dev"} & {*old.system_packages, *old.sysroot_packages}
    assert all("--without-system-libmpdec" in python.configure for python in old.interpreters)
    system = {python.series for python in new.interpreters if "--with-system-libmpdec" in python.configure}
    own = {python.series for python in new.interpreters if "--without-system-libmpdec" in python.configure}
    assert own == {"3.9", "3.10"}  # they ask the linker for libmpdec.so.2 by that name
    assert system == {python.series for python in new.interpreters} - own


def test_threads_get_the_stack_that_their_series_takes_them_to_have() -> None:
    stacks = {python.series: python.stack for python in image("musllinux_1_2_x86_64").interpreters}
    assert (stacks["3.9"], stacks["3.13"], stacks["3.14"]) == (1 << 20, 1 << 20, 4 << 20)


def test_every_thread_recurses_as_deep_but_where_cpython_takes_its_stack_for_smaller() -> None:
    made = [(each.arch.name, python) for each in resolve(MATRIX, supply()) for python in each.interpreters]
    fewer = {(arch, python.series) for arch, python in made if python.recursion < MATRIX.python.recursion}
    assert fewer == {("s390x", "3.14"), ("s390x", "3.15")}
    assert all(python.recursion > 0 for _, python in made)


def test_a_build_backend_is_compiled_only_where_the_matrix_says_that_it_has_no_wheel() -> None:
    made = {each.arch.name for each in resolve(MATRIX, supply()) if each.rust and "maturin" in each.rust.uncompiled}
    assert made == {"s390x"}


def test_a_library_ends_with_its_last_series() -> None:
    made = image("musllinux_1_2_x86_64")
    assert {python.series for python in made.interpreters if "_crypt" in python.modules} == {
        "3.9",
        "3.10",
        "3.11",
        "3.12",
    }


def test_what_the_supply_lacks_is_left_out_and_said() -> None:
    lacking = supply(lacks={("musllinux_1_2", "x86_64"): frozenset({"gfortran", "tk-dev", "never-asked-for"})})
    made = image("musllinux_1_2_x86_64", lacking)
    assert "gfortran" not in made.system_packages
    assert "tk" not in made.system_packages  # nothing links against it
    assert made.lacking == ("gfortran", "tk-dev")
    assert image("musllinux_1_2_i686", lacking).lacking == ()


def test_native_stages_do_not_miss_what_the_image_s_architecture_lacks() -> None:
    made = image("musllinux_1_2_armv7l", supply(lacks={("musllinux_1_2", "armv7l"): frozenset({"clang"})}))
    assert "clang" in made.native_packages
    assert made.lacking == ()


def test_package_lists_are_sorted_and_name_nothing_twice() -> None:
    for made in resolve(MATRIX, supply()):
        for names in (made.system_packages, made.sysroot_packages, made.native_packages):
            assert list(names) == sorted(set(names))


def test_interpreters_keep_the_matrix_order_whatever_was_asked() -> None:
    (made,) = resolve(
        MATRIX,
        supply(),
        Selection(ids=("musllinux_1_2_x86_64",), interpreters=("cp314-cp314t", "cp39-cp39", "cp314-cp314")),
    )
    assert [python.tag for python in made.interpreters] == ["cp39-cp39", "cp314-cp314", "cp314-cp314t"]
    assert made.series == ("3.9", "3.14")
    assert made.tool_host.tag == "cp314-cp314"


def test_a_free_threaded_build_is_told_apart_from_its_twin() -> None:
    twins = {p.tag: p for p in image("musllinux_1_2_x86_64").interpreters if p.series == "3.14"}
    assert twins["cp314-cp314"].executable == "python3.14"
    assert twins["cp314-cp314t"].executable == "python3.14t"
    assert twins["cp314-cp314t"].prefix.endswith("-nogil")
    assert "--disable-gil" in twins["cp314-cp314t"].configure
    assert "--disable-gil" not in twins["cp314-cp314"].configure


def test_a_module_of_a_newer_series_is_not_expected_of_older_ones() -> None:
    modules = {p.series: p.modules for p in image("musllinux_1_2_x86_64").interpreters}
    assert "_zstd" in modules["3.14"]
    assert "_zstd" not in modules["3.13"]


def test_an_interpreter_the_supply_has_no_archive_for_is_left_out_unless_asked_for() -> None:
    archives = {series: a for series, a in supply().archives.items() if series != "3.10"}
    poorer = supply(archives=archives)
    assert "cp310-cp310" not in [p.tag for p in image("musllinux_1_2_x86_64", poorer).interpreters]
    with pytest.raises(FactoryError, match=r"no CPython 3\.10 archive"):
        resolve(MATRIX, poorer, Selection(interpreters=("cp310-cp310",)))


def test_a_supply_without_a_base_for_the_image_is_an_error_that_names_it() -> None:
    with pytest.raises(FactoryError, match=r"no base image for Alpine 3\.22 on x86_64"):
        image("musllinux_1_2_x86_64", supply(bases={}))


def test_no_interpreter_that_runs_the_tools_is_an_error() -> None:
    with pytest.raises(FactoryError, match="can run its tools"):
        resolve(MATRIX, supply(), Selection(interpreters=("cp39-cp39",)))


def test_uv_is_left_out_where_it_has_no_wheels() -> None:
    assert "uv" in [tool.name for tool in image("musllinux_1_2_aarch64").tools]
    assert "uv" not in [tool.name for tool in image("musllinux_1_2_s390x").tools]


def test_only_images_of_a_rehearsal_carry_its_mark() -> None:
    real, rehearsed = image("musllinux_1_2_x86_64"), image("musllinux_1_2_x86_64", supply(publishable=False))
    assert not any("standin" in name.lower() for name in (*real.environment, *real.labels))
    assert any("standin" in name for name in rehearsed.labels)
    assert rehearsed.environment["MUSLLINUX_STANDIN"] == "1"


def test_versions_compare_by_number() -> None:
    assert ordinal("3.9") < ordinal("3.10")


def test_rust_is_one_release_s_for_every_image() -> None:
    made = [each.rust for each in resolve(MATRIX, supply())]
    assert {rust.release for rust in made if rust} == {MATRIX.rust.alpine}
    assert None not in made


def test_rust_s_time_t_is_the_policy_s_and_said_to_the_libc_crate_only_where_that_matters() -> None:
    told = {each.id for each in resolve(MATRIX, supply()) if each.rust and each.rust.cfg and each.rust.env}
    assert told == {"musllinux_1_2_i686", "musllinux_1_2_armv7l"}
    assert image("musllinux_1_1_i686").time_t == 32
    assert image("musllinux_1_1_x86_64").time_t == image("musllinux_1_2_i686").time_t == 64


def test_rust_s_target_is_called_as_the_supply_calls_it() -> None:
    upstream, generic = image("musllinux_1_2_i686"), image("musllinux_1_2_i686", supply(rust="{rust}"))
    assert upstream.rust
    assert generic.rust
    assert (upstream.rust.target, generic.rust.target) == ("i586-alpine-linux-musl", "i686-unknown-linux-musl")


def test_an_image_is_made_without_rust_where_the_supply_has_none() -> None:
    made = image("musllinux_1_2_s390x", supply(rust_releases={"x86_64": "3.24"}))
    assert made.rust is None
    assert made.lacking == ("rust",)
    assert made.rust_repositories == ()
