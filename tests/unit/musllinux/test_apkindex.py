"""The apk index: what brings what in, and that only those changes show."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux.apkindex import Package, closure, content, parse
from musllinux.errors import FactoryError

TEXT = """C:Q1one=
P:gcc
V:14.2.0-r6
D:binutils so:libgmp.so.10 musl-dev>=1.2 !clang
p:cmd:gcc=14.2.0-r6

C:Q1two=
P:binutils
V:2.44-r2

C:Q1three=
P:gmp
p:so:libgmp.so.10=10.5.0
V:6.3.0-r3
"""


def archive(text: str) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info = tarfile.TarInfo("APKINDEX")
        info.size = len(text.encode())
        tar.addfile(info, io.BytesIO(text.encode()))
    signature = io.BytesIO()
    with tarfile.open(fileobj=signature, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(".SIGN.RSA.key.pub"))
    return gzip.compress(signature.getvalue()) + gzip.compress(plain.getvalue())


def test_reads_a_signed_index() -> None:
    gcc, binutils, gmp = parse(archive(TEXT))
    assert gcc == Package(
        name="gcc",
        checksum="Q1one=",
        depends=("binutils", "so:libgmp.so.10", "musl-dev"),
        provides=("cmd:gcc",),
        version="14.2.0-r6",
    )
    assert (binutils.depends, gmp.provides) == ((), ("so:libgmp.so.10",))


def test_a_change_in_a_dependency_shows_and_one_elsewhere_does_not() -> None:
    before = parse(archive(TEXT))
    deep = parse(archive(TEXT.replace("Q1three=", "Q1other=")))
    assert content(before, ["gcc"]) != content(deep, ["gcc"])
    assert content(before, ["binutils"]) == content(deep, ["binutils"])


def test_a_closure_has_each_package_once_whoever_asks_for_it_under_whatever_name() -> None:
    packages = parse(archive(TEXT))
    assert [package.name for package in closure(packages, ["gcc", "so:libgmp.so.10"])] == ["binutils", "gcc", "gmp"]
    assert [package.name for package in closure(packages, ["musl"])] == []


def test_what_only_the_base_has_does_not_matter() -> None:
    packages = parse(archive(TEXT))
    assert content(packages, ["gcc", "musl"]) == content(packages, ["gcc"])


@given(st.binary(max_size=300))
def test_garbage_is_an_error_and_never_a_traceback(data: bytes) -> None:
    try:
        parse(data)
    except FactoryError as error:
        assert "not an apk index" in error.message


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text_in_the_index_is_read(text: str) -> None:
    assert all(isinstance(package.name, str) for package in parse(archive(text)))


@given(
    st.lists(
        st.builds(
            Package,
            name=st.sampled_from("abcdef"),
            checksum=st.text("xyz", max_size=2),
            depends=st.lists(st.sampled_from("abcdefg"), max_size=3).map(tuple),
            provides=st.lists(st.sampled_from("abcdefgh"), max_size=2).map(tuple),
        ),
        max_size=8,
    )
)
def test_circles_end_and_order_does_not_matter(packages: list[Package]) -> None:
    unique = list({p.name: p for p in packages}.values())
    assert content(unique, "ab") == content(list(reversed(unique)), "ba")


def test_an_answer_that_is_no_index_says_so() -> None:
    with pytest.raises(FactoryError, match="not an apk index"):
        parse(b"<html>not found</html>")
