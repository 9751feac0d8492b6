"""The symbol database: its answers, and that they agree with itself and with real libc files."""

import pytest

from muslabi import database

DB = database.load()


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("statx", "1.2.5"),
        ("qsort_r", "1.2.3"),
        ("posix_getdents", "1.2.6"),
        ("gettid", "1.2.2"),
        ("malloc", "1.1.0"),
    ],
)
def test_a_name_is_exported_from_its_first_release_on(name: str, first: str) -> None:
    at = DB.index(first)
    for place, version in enumerate(DB.versions):
        assert (name in DB.exports("x86_64", version)) == (place >= at)


def test_lfs64_names_leave_the_table_but_are_still_resolved() -> None:
    assert "open64" in DB.exports("aarch64", "1.2.3")
    assert "open64" not in DB.exports("aarch64", "1.2.4")
    assert all(DB.resolves("aarch64", "open64", release) for release in DB.releases)


def test_posix_fallocate64_is_lost_where_the_name_overruns_the_loaders_buffer() -> None:
    broken = [r.version for r in DB.releases if not DB.resolves("x86_64", "posix_fallocate64", r)]
    assert broken == ["3.19", "3.20", "3.21", "3.22", "3.23"]


def test_alpine_backports_count() -> None:
    assert DB.resolves("x86_64", "posix_getdents", DB.release("3.23"))
    assert not DB.resolves("x86_64", "posix_getdents", DB.release("3.22"))
    assert DB.resolves("x86_64", "qsort_r", DB.release("3.15"))
    assert not DB.resolves("x86_64", "qsort_r", DB.release("3.14"))


def test_alpine_3_18_lacks_the_old_stat_names_on_32_bit_only() -> None:
    assert "__xstat" not in DB.release_exports("i686", "3.18")
    assert "__xstat" in DB.release_exports("x86_64", "3.18")


def test_time64_names_exist_on_32_bit_musl_1_2_alone() -> None:
    for arch, pairs in DB.time64.items():
        assert len(pairs) == 63
        assert pairs.keys() <= DB.exports(arch, "1.2.0")
        assert not pairs.keys() & DB.exports(arch, "1.1.24")
        assert frozenset(pairs.values()) <= DB.exports(arch, "1.2.2")
    assert not any(set(DB.time64["i686"]) & DB.exports(arch, "1.2.6") for arch in ("x86_64", "aarch64", "s390x"))


def test_a_port_exports_nothing_before_its_first_release() -> None:
    for arch, port in DB.arches.items():
        before = DB.versions[: DB.index(port.first)]
        assert not any(DB.exports(arch, version) for version in before)
        assert "malloc" in DB.exports(arch, port.first)


def test_an_unknown_version_or_architecture_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        DB.exports("x86_64", "9.9.9")
    with pytest.raises(KeyError):
        DB.exports("vax", "1.2.5")


def test_data_of_another_format_are_refused() -> None:
    with pytest.raises(database.DatabaseError, match="format"):
        database.build({"format": 2}, {"format": 1}, {}, {})
