"""What python.org's listings and registries' indexes may hold: anything, and it is used, or one clear error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux import baseimages, pythonorg, web
from musllinux.errors import FactoryError
from musllinux.pythonorg import Listing
from musllinux.registry import Manifest

VERSION = st.builds("{}.{}.{}".format, st.just(3), st.just(14), st.integers(0, 30) | st.just("9" * 5000))
ENTRY = st.one_of(
    VERSION.map('<a href="{}/">'.format),
    st.builds('<a href="/ftp/Python-{}{}.tar.xz">'.format, VERSION, st.sampled_from(["", "rc1", "a9", "b"])),
    st.text(max_size=20),
)
PAGE = st.lists(ENTRY, max_size=6).map("\n".join) | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1"))


@given(PAGE)
def test_any_listing_has_a_newest_release_or_is_one_line(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "page", lambda *_: text.encode("utf-8", "surrogatepass"))
        try:
            found = Listing("https://mirror.example.com/python", None).newest("3.14")
        except FactoryError as error:
            assert "\n" not in error.message
        else:
            assert found.file == f"Python-{found.version}.tar.xz"
            assert found.version.startswith(found.folder)


def test_a_listing_of_hundreds_of_digits_is_no_version() -> None:
    assert not pythonorg._FOLDER.findall('<a href="3.14.' + "9" * 500 + '/">')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["manifests", "platform", "os", "architecture", "variant", "digest"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
PLATFORM = st.fixed_dictionaries({"os": st.just("linux"), "architecture": st.just("arm")}, optional={"variant": JSON})
DESCRIPTOR = st.fixed_dictionaries({}, optional={"platform": PLATFORM | JSON, "digest": JSON})


def index(document: object) -> Manifest:
    return Manifest(digest="sha256:a", media_type="", body=json.dumps(document).encode())


@given(st.fixed_dictionaries({}, optional={"manifests": st.lists(DESCRIPTOR | JSON, max_size=3) | JSON}))
def test_any_index_has_a_platforms_manifest_or_is_one_line(document: object) -> None:
    try:
        found = baseimages.entry(index(document), "linux/arm", "alpine:3.22.6")
    except FactoryError as error:
        assert "\n" not in error.message
    else:
        assert baseimages.DIGEST.fullmatch(found["digest"])


def test_an_index_is_believed_for_the_platform_asked_for_alone() -> None:
    digests = {name: f"sha256:{number:064}" for number, name in enumerate(("amd64", "arm/v6", "arm/v7"))}
    manifests = [
        {
            "platform": dict(zip(("os", "architecture", "variant"), ("linux", *name.split("/")), strict=False)),
            "digest": d,
        }
        for name, d in digests.items()
    ]
    for name, digest in digests.items():
        found = baseimages.entry(index({"manifests": manifests}), f"linux/{name}", "alpine:3.22.6")
        assert found["digest"] == digest
