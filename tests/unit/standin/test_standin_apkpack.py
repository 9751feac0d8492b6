"""Packages and indexes: what goes in comes out, signed, and the same every time."""

import base64
import gzip
import hashlib
import io
import os
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from standin.apkpack import EPOCH, Metadata, SigningKey, pack, signing_key, write_index
from standin.cache import Cache
from standin.errors import StandinError


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return signing_key(Cache(tmp_path_factory.mktemp("keys")))


def members_of(content: bytes) -> list[bytes]:
    """The compressed bytes of each gzip member."""
    members = []
    while content:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        unpacker.decompress(content)
        members.append(content[: len(content) - len(unpacker.unused_data)])
        content = unpacker.unused_data
    return members


def verify(member: bytes, signature_member: bytes, key: SigningKey) -> None:
    """Raises InvalidSignature unless the key's public file vouches for the member."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(signature_member))) as archive:
        [entry] = archive.getmembers()
        stream = archive.extractfile(entry)
        assert stream is not None
        signature = stream.read()
    assert entry.name == f".SIGN.RSA.{key.public_path.name}"
    public = serialization.load_pem_public_key(key.public_path.read_bytes())
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(signature, member, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - apk's


def make_tree(root: Path, files: Mapping[str, bytes], links: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name, target in links.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


NAMES = st.text(st.sampled_from("abcXYZ0189._-+éß "), min_size=1, max_size=40).filter(lambda name: name.strip(". "))
# One level decides whether a name is a file or a link, so that none of them has to be a folder too.
FILES = st.dictionaries(st.tuples(NAMES, NAMES).map(lambda parts: f"d{parts[0]}/f{parts[1]}"), st.binary(max_size=3000))
LINKS = st.dictionaries(
    NAMES.map(lambda name: f"l{name}"), st.text("abc/.", min_size=1, max_size=150).filter(lambda text: "\0" not in text)
)


@settings(max_examples=40, deadline=None)
@given(files=FILES, links=LINKS)
def test_a_package_holds_the_tree_it_was_made_of(
    key: SigningKey, files: dict[str, bytes], links: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root, out = Path(scratch, "tree"), Path(scratch, "a.apk")
        root.mkdir()
        make_tree(root, files, links)
        entry = pack(Metadata(name="a", version="1-r0", arch="x86_64"), root, out, key)
        content = out.read_bytes()
    signature, control, data = members_of(content)
    verify(control, signature, key)
    assert entry["C"] == "Q1" + base64.b64encode(hashlib.sha1(control).digest()).decode()  # noqa: S324 - apk's
    assert entry["S"] == str(len(content))
    assert f"datahash = {hashlib.sha256(data).hexdigest()}\n" in _pkginfo(control)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as archive:
        found = {member.name: member for member in archive}
        assert {name for name, member in found.items() if member.isreg()} == set(files)
        for name, expected in files.items():
            stream = archive.extractfile(found[name])
            assert stream is not None
            assert stream.read() == expected
            checksum = found[name].pax_headers["APK-TOOLS.checksum.SHA1"]
            assert checksum == hashlib.sha1(expected).hexdigest()  # noqa: S324
    assert {name: member.linkname for name, member in found.items() if member.issym()} == links
    for member in found.values():
        assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "root", EPOCH)


def _pkginfo(control: bytes) -> str:
    # The control member has no end-of-archive blocks: tarfile is content with the end of the stream.
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(control))) as archive:
        stream = archive.extractfile(".PKGINFO")
        assert stream is not None
        return stream.read().decode()


def test_the_three_members_read_as_one_tar(tmp_path: Path, key: SigningKey) -> None:
    make_tree(tmp_path / "tree", {"usr/bin/a": b"x"}, {})
    metadata = Metadata(name="a", version="1-r0", arch="x86_64", scripts={"post-install": "#!/bin/sh\n"})
    pack(metadata, tmp_path / "tree", tmp_path / "a.apk", key)
    with tarfile.open(tmp_path / "a.apk") as archive:
        names = archive.getnames()
    assert names == [f".SIGN.RSA.{key.name}", ".PKGINFO", ".post-install", "usr", "usr/bin", "usr/bin/a"]


def test_the_same_tree_gives_the_same_bytes_whatever_its_times(tmp_path: Path, key: SigningKey) -> None:
    for name in ("one", "two"):
        make_tree(tmp_path / name, {"b": b"b", "a/c": b"c"}, {"l": "b"})
    os.utime(tmp_path / "two" / "b", (1, 1))
    metadata = Metadata(name="a", version="1-r0", arch="x86_64")
    entries = [pack(metadata, tmp_path / name, tmp_path / f"{name}.apk", key) for name in ("one", "two")]
    assert entries[0] == entries[1]
    assert (tmp_path / "one.apk").read_bytes() == (tmp_path / "two.apk").read_bytes()


def test_modes_are_kept_setuid_included(tmp_path: Path, key: SigningKey) -> None:
    make_tree(tmp_path / "tree", {"bin/su": b"", "etc/shadow": b""}, {})
    (tmp_path / "tree/bin/su").chmod(0o4755)
    (tmp_path / "tree/etc/shadow").chmod(0o640)
    (tmp_path / "tree/etc").chmod(0o700)
    pack(Metadata(name="a", version="1-r0", arch="x86_64"), tmp_path / "tree", tmp_path / "a.apk", key)
    with tarfile.open(tmp_path / "a.apk") as archive:
        modes = {member.name: stat.S_IMODE(member.mode) for member in archive}
    assert (modes["bin/su"], modes["etc/shadow"], modes["etc"]) == (0o4755, 0o640, 0o700)


def test_everything_a_package_says_of_itself_is_in_its_pkginfo(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "tree").mkdir()
    metadata = Metadata(
        name="zlib-dev",
        version="1.3.1-r1",
        arch="x86_64",
        description="headers",
        depends=("zlib=1.3.1-r1", "so:libz.so.1"),
        provides=("pc:zlib=1.3.1",),
        replaces=("old",),
        triggers=("/usr/lib", "/lib"),
    )
    entry = pack(metadata, tmp_path / "tree", tmp_path / "a.apk", key)
    lines = _pkginfo(members_of((tmp_path / "a.apk").read_bytes())[1]).splitlines()
    expected = {
        "pkgname = zlib-dev",
        "pkgver = 1.3.1-r1",
        "pkgdesc = headers",
        "arch = x86_64",
        "depend = zlib=1.3.1-r1",
        "depend = so:libz.so.1",
        "provides = pc:zlib=1.3.1",
        "replaces = old",
        "triggers = /usr/lib /lib",
        "size = 4096",  # never 0: apk would not run the scripts
    }
    assert expected <= set(lines)
    assert entry["D"] == "zlib=1.3.1-r1 so:libz.so.1"
    assert entry["p"] == "pc:zlib=1.3.1"


@pytest.mark.parametrize("version", ["1.2.3-r0", "1.2.5_git20230717-r2", "20260909-r0", "1.1.1o-r0", "14.2.0_rc1-r3"])
def test_versions_that_alpine_uses_are_versions(version: str) -> None:
    assert Metadata(name="a", version=version, arch="x86_64").file_name == f"a-{version}.apk"


@pytest.mark.parametrize(
    ("name", "version", "depends"),
    [
        ("a b", "1-r0", ()),
        ("../a", "1-r0", ()),
        ("a", "1", ()),
        ("a", "1.2-3", ()),
        ("a", "v1-r0", ()),
        ("a", "1-r0", ("two words",)),
        ("a", "1-r0", ("",)),
        ("a", "1-r0", ("line\nbreak",)),
    ],
)
def test_what_apk_could_not_read_back_is_refused(name: str, version: str, depends: tuple[str, ...]) -> None:
    with pytest.raises(StandinError):
        Metadata(name=name, version=version, arch="x86_64", depends=depends)


def test_a_tree_with_a_fifo_is_refused_and_leaves_nothing(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "tree").mkdir()
    os.mkfifo(tmp_path / "tree" / "pipe")
    with pytest.raises(StandinError, match="pipe"):
        pack(Metadata(name="a", version="1-r0", arch="x86_64"), tmp_path / "tree", tmp_path / "a.apk", key)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_the_index_is_signed_and_lists_every_entry(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "tree").mkdir()
    entries = [
        pack(Metadata(name=name, version="1-r0", arch="x86_64"), tmp_path / "tree", tmp_path / f"{name}.apk", key)
        for name in ("a", "b")
    ]
    write_index(entries, tmp_path / "APKINDEX.tar.gz", key, "test")
    signature, index = members_of((tmp_path / "APKINDEX.tar.gz").read_bytes())
    verify(index, signature, key)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(index))) as archive:
        assert archive.getnames() == ["DESCRIPTION", "APKINDEX"]
        stream = archive.extractfile("APKINDEX")
        assert stream is not None
        blocks = [
            dict(line.split(":", 1) for line in b.splitlines()) for b in stream.read().decode().split("\n\n")[:-1]
        ]
    assert blocks == entries


def test_a_changed_member_is_not_vouched_for(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "tree").mkdir()
    pack(Metadata(name="a", version="1-r0", arch="x86_64"), tmp_path / "tree", tmp_path / "a.apk", key)
    signature, control, _ = members_of((tmp_path / "a.apk").read_bytes())
    with pytest.raises(InvalidSignature):
        verify(control + b"x", signature, key)


def test_the_key_is_made_once_and_its_private_half_is_private(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first, second = signing_key(cache), signing_key(cache)
    assert first.name == second.name
    assert first.sign(b"x") == second.sign(b"x")
    private = first.public_path.with_suffix("")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PRIVATE" not in first.public_path.read_bytes()


def test_another_cache_has_another_key_name(tmp_path: Path) -> None:
    assert signing_key(Cache(tmp_path / "a")).name != signing_key(Cache(tmp_path / "b")).name


def test_a_lost_public_half_is_written_again(tmp_path: Path) -> None:
    public = signing_key(Cache(tmp_path)).public_path
    content = public.read_bytes()
    public.unlink()
    assert signing_key(Cache(tmp_path)).public_path.read_bytes() == content
