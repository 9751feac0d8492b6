"""indexes: a build from upstream sees that its packages have changed, and does without where it cannot look."""

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.upstream import Upstream, on_loopback

from musllinux import indexes, web
from musllinux.model import Image, Selection, Supply, resolve

from .factory import everything, shipped

MATRIX = shipped()
IMAGES = Selection(ids=("musllinux_1_2_s390x",))


def index(**versions: str) -> bytes:
    text = "\n".join(f"C:Q1{name}{version}\nP:{name}\nV:{version}\n" for name, version in versions.items()).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("APKINDEX")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return gzip.compress(buffer.getvalue())


class Mirror:
    def __init__(self, upstream: Upstream, host: str, cache: Path) -> None:
        self.upstream, self.said = upstream, list[str]()
        self.supply = everything(MATRIX).__class__(**{**vars(everything(MATRIX)), "mirror": f"http://{host}/alpine"})
        self.reader = indexes.Reader(cache=cache, ca=None, report=self.said.append)

    def put(self, arch: str, **versions: str) -> None:
        self.upstream.files[f"/alpine/v3.22/main/{arch}/APKINDEX.tar.gz"] = index(**versions)
        self.upstream.files[f"/alpine/v3.22/community/{arch}/APKINDEX.tar.gz"] = index(other="1")

    def known(self) -> Supply:
        return indexes.known(self.supply, MATRIX, IMAGES, "linux/amd64", self.reader)

    def image(self) -> Image:
        return resolve(MATRIX, self.known(), IMAGES)[0]


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(web, "WAITS", ())
    upstream = Upstream()
    with on_loopback(upstream) as host:
        made = Mirror(upstream, host, tmp_path)
        made.put("s390x", gcc="1", bash="1")
        made.put("x86_64", clang="1", make="1")
        yield made


def test_the_images_own_packages_and_the_builders_are_read_and_no_others(mirror: Mirror) -> None:
    assert set(mirror.known().packages) == {("3.22", "s390x"), ("3.22", "x86_64")}
    assert {path.split("/")[4] for path in mirror.upstream.asked} == {"s390x", "x86_64"}
    assert mirror.said == []


def test_a_package_that_changed_changes_the_stages_that_ask_for_it(mirror: Mirror) -> None:
    before = mirror.image().contents
    mirror.put("s390x", gcc="1", bash="2")
    after = mirror.image().contents
    assert {name for name in after if after[name] != before[name]} == {"SYSTEM_CONTENT"}
    mirror.put("x86_64", clang="2", make="1")
    assert mirror.image().contents["NATIVE_CONTENT"] != before["NATIVE_CONTENT"]


def test_native_stages_do_not_depend_on_the_image_that_is_built(mirror: Mirror) -> None:
    before = mirror.image().contents["NATIVE_CONTENT"]
    mirror.put("s390x", gcc="1", bash="1", make="9", clang="9")
    assert mirror.image().contents["NATIVE_CONTENT"] == before


@pytest.mark.parametrize("body", [b"<html>", b""])
def test_a_mirror_that_fails_is_gone_by_as_it_was_the_last_time(mirror: Mirror, body: bytes) -> None:
    before = mirror.image().contents
    for path in list(mirror.upstream.files):
        mirror.upstream.altered[path] = body
    assert mirror.image().contents == before
    assert len(mirror.said) == 4
    assert all("the last time" in line for line in mirror.said)


def test_a_mirror_that_never_answered_is_said_and_nothing_is_known(mirror: Mirror) -> None:
    for path in list(mirror.upstream.files):
        mirror.upstream.altered[path] = b"<html>"
    assert not any(mirror.known().packages.values())
    assert all("not seen" in line for line in mirror.said)
