"""apk's database, and the reduction of a virtual machine's root to a bare one."""

import base64
import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standin import apkdb, rootfs
from standin.errors import StandinError

APPLETS = b"bin/sh\nsbin/insmod\nusr/bin/env\n"


def q1(content: bytes) -> str:
    return "Q1" + base64.b64encode(hashlib.sha1(content).digest()).decode()  # noqa: S324 - apk's


def block(name: str, files: dict[str, bytes], depends: str = "", provides: str = "") -> str:
    lines = [f"C:{q1(name.encode())}", f"P:{name}", "V:1.2.5-r3", "A:x86_64"]
    lines += [f"D:{depends}"] if depends else []
    lines += [f"p:{provides}"] if provides else []
    for path, content in files.items():
        folder, _, file = path.rpartition("/")
        lines += [f"F:{folder}", f"R:{file}", f"Z:{q1(content)}"]
    return "\n".join(lines) + "\n\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A small root with two packages worth keeping, one that is not, and leftovers."""
    root = tmp_path / "root"
    files = {
        "bin/busybox": b"busybox",
        "sbin/insmod": b"a dropped package's, in place of busybox's link",
        "etc/busybox-paths.d/busybox": APPLETS,
        "lib/ld-musl-x86_64.so.1": b"musl",
        "etc/hosts": b"",
        "etc/passwd": b"root:x:0:0\nguest:x:9:9\n",
        "boot/vmlinuz": b"kernel",
        "etc/apk/arch": b"x86_64\n",
        "etc/apk/repositories": b"https://mirror.invalid/v3.23/main\n",
        "etc/leftover": b"not a package's",
        ".dockerenv": b"",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "bin/sh").symlink_to("/bin/busybox")
    kept_base = block("base", {"etc/hosts": b"127.0.0.1\n", "etc/passwd": b"root:x:0:0\n"}, depends="/bin/sh musl>=1")
    kept_busybox = block(
        "busybox",
        {"bin/busybox": b"busybox", "etc/busybox-paths.d/busybox": APPLETS},
        "so:libc.musl-x86_64.so.1 !old",
        "/bin/sh cmd:sh=1",
    )
    kept_musl = block("musl", {"lib/ld-musl-x86_64.so.1": b"musl"}, provides="so:libc.musl-x86_64.so.1=1")
    database = root / apkdb.DATABASE
    database.mkdir(parents=True)
    (database / "installed").write_text(
        kept_base + kept_busybox + block("linux", {"boot/vmlinuz": b"kernel", "sbin/insmod": b"x"}) + kept_musl
    )
    (database / "triggers").write_text(f"{q1(b'busybox')} /bin\n{q1(b'linux')} /lib/modules\n")
    (database / "scripts.tar.gz").write_bytes(scripts_of("busybox", "linux"))
    return root


def scripts_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            mark = hashlib.sha1(name.encode()).hexdigest()  # noqa: S324 - apk's
            archive.addfile(tarfile.TarInfo(f"{name}-1.2.5-r3.X1{mark}.trigger"))
    return gzip.compress(buffer.getvalue())


def selection(**more: object) -> rootfs.Selection:
    fields: dict[str, object] = {
        "world": ("base", "busybox"),
        "packages": ("base", "busybox", "musl"),
        "originals": {"etc/hosts": "127.0.0.1\n"},
        "users": ("guest",),
    }
    return rootfs.Selection(**{**fields, **more})  # type: ignore[arg-type]


def unpacked(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        return {member.name.removeprefix("./"): member for member in archive}


def content(path: Path, name: str) -> bytes:
    with tarfile.open(path) as archive:
        stream = archive.extractfile(f"./{name}")
        assert stream is not None
        return stream.read()


def test_only_what_the_kept_packages_own_and_busyboxs_links_remain(machine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tar.gz"
    rootfs.reduce(machine, out, selection())
    names = {name for name, member in unpacked(out).items() if not member.isdir()}
    assert names == {
        "bin/busybox",
        "bin/sh",
        "sbin/insmod",
        "etc/busybox-paths.d/busybox",
        "usr/bin/env",
        "lib/ld-musl-x86_64.so.1",
        "etc/hosts",
        "etc/passwd",
        "etc/apk/arch",
        "etc/apk/repositories",
        "etc/apk/world",
        "lib/apk/db/installed",
        "lib/apk/db/lock",
        "lib/apk/db/triggers",
        "lib/apk/db/scripts.tar.gz",
    }


def test_the_database_speaks_of_what_is_kept_only(machine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tar.gz"
    rootfs.reduce(machine, out, selection())
    assert content(out, "etc/apk/world") == b"base\nbusybox\n"
    left = apkdb.parse(content(out, "lib/apk/db/installed").decode())
    assert [package.name for package in left] == ["base", "busybox", "musl"]
    assert content(out, "lib/apk/db/triggers").decode() == f"{q1(b'busybox')} /bin\n"
    with tarfile.open(fileobj=io.BytesIO(content(out, "lib/apk/db/scripts.tar.gz"))) as archive:
        assert [name.partition("-")[0] for name in archive.getnames()] == ["busybox"]


def test_configuration_is_as_the_packages_left_it(machine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tar.gz"
    rootfs.reduce(machine, out, selection())
    assert content(out, "etc/hosts") == b"127.0.0.1\n"
    assert content(out, "etc/passwd") == b"root:x:0:0\n"


def test_the_same_root_gives_the_same_bytes(machine: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        rootfs.reduce(machine, tmp_path / name, selection())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_kept_package_that_needs_a_dropped_one_is_an_error(machine: Path, tmp_path: Path) -> None:
    with pytest.raises(StandinError, match=r"still needed \['so:libc.musl-x86_64.so.1'\]|musl"):
        rootfs.reduce(machine, tmp_path / "out", selection(packages=("busybox",)))


def test_a_package_that_is_not_there_is_an_error(machine: Path, tmp_path: Path) -> None:
    with pytest.raises(StandinError, match="'zlib'"):
        rootfs.reduce(machine, tmp_path / "out", selection(packages=("base", "busybox", "musl", "zlib")))


def test_a_kept_file_that_was_changed_is_an_error(machine: Path, tmp_path: Path) -> None:
    (machine / "bin/busybox").write_bytes(b"another")
    with pytest.raises(StandinError, match="bin/busybox"):
        rootfs.reduce(machine, tmp_path / "out", selection())


def test_owners_and_modes_come_from_the_database() -> None:
    text = "C:Q1AA==\nP:a\nV:1-r0\nF:tmp\nM:0:0:1777\nF:etc\nR:shadow\na:0:42:640\nZ:Q1AA==\nR:plain\n\n"
    [package] = apkdb.parse(text)
    assert [(e.path, oct(e.mode), e.gid, e.folder) for e in package.entries] == [
        ("tmp", "0o1777", 0, True),
        ("etc", "0o755", 0, True),
        ("etc/shadow", "0o640", 42, False),
        ("etc/plain", "0o644", 0, False),
    ]


def test_a_links_checksum_is_that_of_its_target_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("./a//b/")
    assert "Q1" + apkdb.checksum_of(tmp_path / "link") == q1(b"./a//b/")


@given(st.text())
def test_any_text_is_a_database_or_refused_in_a_known_way(text: str) -> None:
    try:
        packages = apkdb.parse(text)
    except (ValueError, KeyError):
        return
    assert all(package.name is not None for package in packages)


def test_a_base_without_a_database_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StandinError, match="no apk database"):
        apkdb.installed(tmp_path)
