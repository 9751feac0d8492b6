"""A bare Alpine root file system out of a virtual machine's disk, as Alpine's minirootfs tarballs have it.

Kept are the files of the named packages, as those packages left them; busybox's links; apk's own files, cut
down to what is kept. Everything else (kernel, boot, init system, the machine's users) is left behind.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from standin import apkdb, qcow2
from standin.apkpack import EPOCH
from standin.apt import Apt
from standin.cache import Cache
from standin.errors import StandinError
from standin.process import run

VERSION = 2  # bump when the same disk gives another root file system
_BUSYBOX = "/bin/busybox"
_APPLETS = "etc/busybox-paths.d/busybox"  # busybox's own list of them (since 3.18)
_APK_FILES = ("etc/apk/arch", "etc/apk/repositories")
# debugfs and its libraries (bases.yaml names the suite); the C library is the machine's own.
_DEBUGFS_PACKAGES = ("e2fsprogs", "libext2fs2", "libss2", "libcom-err2", "libblkid1", "libuuid1")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What of a virtual machine's root is kept (bases.yaml).

    `originals` holds the packages' own text of configuration files that such machines overwrite, by path;
    `users` are the accounts to take out of passwd, group and shadow.
    """

    world: tuple[str, ...]
    packages: tuple[str, ...]
    originals: Mapping[str, str]
    users: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Member:
    """A folder, file or link of a root file system, root's unless said otherwise."""

    mode: int
    uid: int = 0
    gid: int = 0
    content: bytes | None = None  # None for folders and links
    link: str = ""


def from_disk(
    disk: Path, out: Path, selection: Selection, *, cache: Cache, apt: Apt, suite: str
) -> list[apkdb.Installed]:
    """Write the reduced root of the qcow2 image `disk` to `out` (.tar.gz); the packages that are in it."""
    with cache.scratch(f"disk-{disk.stem}") as folder:
        raw, root = folder / "disk.raw", folder / "root"
        qcow2.convert(disk, raw)
        root.mkdir()
        _dump(raw, root, apt, suite)
        return reduce(root, out, selection)


def _dump(raw: Path, root: Path, apt: Apt, suite: str) -> None:
    """Copy the ext4 file system in `raw` to `root` with debugfs, which needs no privileges."""
    trees = [path for _, path in apt.debs(suite, apt.native, _DEBUGFS_PACKAGES)]
    libraries = [
        str(path) for tree in trees for path in (*tree.glob("lib/*-linux-gnu"), *tree.glob("usr/lib/*-linux-gnu"))
    ]
    run(
        [trees[0] / "sbin" / "debugfs", "-R", f'rdump / "{root}"', raw],
        env={"LD_LIBRARY_PATH": ":".join(libraries)},
    )
    if not (root / "etc" / "alpine-release").exists():
        raise StandinError(f"{raw.name} holds no Alpine root file system", hint="the wheel has changed its layout")


def reduce(root: Path, out: Path, selection: Selection) -> list[apkdb.Installed]:
    """Write what `selection` keeps of the root file system at `root` to `out` (.tar.gz), deterministically.

    Raises StandinError if a kept package needs one that is dropped, or a kept file is not its package's.
    """
    every = apkdb.installed(root)
    kept = [package for package in every if package.name in selection.packages]
    absent = set(selection.packages) - {package.name for package in kept}
    lacking = apkdb.closed(kept)
    if absent or lacking:
        raise StandinError(
            f"the virtual machine's root does not fit: without {sorted(absent)}, still needed {lacking}",
            hint="mend `packages` in bases.yaml",
        )
    members = {entry.path: _owned(root, entry, selection) for package in kept for entry in package.entries}
    members |= dict(_links(root, members))
    members |= dict(_apk_files(root, kept, selection))
    write(out, members)
    return kept


def _owned(root: Path, entry: apkdb.Entry, selection: Selection) -> Member:
    path = root / entry.path
    if entry.folder:
        return Member(mode=entry.mode, uid=entry.uid, gid=entry.gid)
    if path.is_symlink():
        return Member(mode=0o777, link=apkdb.link_target(path))
    content = _content(path, entry, selection)
    return Member(mode=entry.mode, uid=entry.uid, gid=entry.gid, content=content)


def _content(path: Path, entry: apkdb.Entry, selection: Selection) -> bytes:
    """The file as its package left it. Only shadow may differ: Alpine's own minirootfs locks root there."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StandinError(f"{entry.path} is not in the virtual machine's root", hint="mend bases.yaml") from error
    if entry.path in selection.originals:
        return selection.originals[entry.path].encode()
    if entry.path in ("etc/passwd", "etc/group", "etc/shadow"):
        lines = content.decode().splitlines(keepends=True)
        return "".join(line for line in lines if line.partition(":")[0] not in selection.users).encode()
    if entry.checksum and apkdb.checksum_of(path) != entry.checksum:
        raise StandinError(
            f"{entry.path} in the virtual machine's root is not its package's", hint="add it to bases.yaml"
        )
    return content


def _links(root: Path, members: Mapping[str, Member]) -> Iterator[tuple[str, Member]]:
    """Busybox's applets, which no package owns: its trigger links whatever nobody else provides."""
    for path in (root / _APPLETS).read_text().split():
        if path not in members:
            yield path, Member(mode=0o777, link=_BUSYBOX)


def _apk_files(root: Path, kept: Sequence[apkdb.Installed], selection: Selection) -> Iterator[tuple[str, Member]]:
    for name in _APK_FILES:
        yield name, Member(mode=0o644, content=(root / name).read_bytes())
    yield (
        "etc/apk/world",
        Member(mode=0o644, content="".join(f"{name}\n" for name in selection.world).encode()),
    )
    database = root / apkdb.DATABASE
    yield (
        f"{apkdb.DATABASE}/installed",
        Member(mode=0o644, content="".join(package.block for package in kept).encode()),
    )
    yield f"{apkdb.DATABASE}/lock", Member(mode=0o600, content=b"")
    sums = {package.checksum for package in kept}
    triggers = (database / "triggers").read_text().splitlines(keepends=True)
    lines = "".join(line for line in triggers if line.split()[0] in sums)
    yield f"{apkdb.DATABASE}/triggers", Member(mode=0o644, content=lines.encode())
    for name in ("scripts.tar", "scripts.tar.gz"):  # apk 2 and apk 3
        if (database / name).exists():
            yield f"{apkdb.DATABASE}/{name}", Member(mode=0o644, content=_scripts(database / name, kept))


def _scripts(path: Path, kept: Sequence[apkdb.Installed]) -> bytes:
    marks = [apkdb.script_mark(package) for package in kept]
    buffer = io.BytesIO()
    with (
        tarfile.open(path) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            if any(mark in member.name for mark in marks):
                new.addfile(member, old.extractfile(member))
    plain = buffer.getvalue()
    return gzip.compress(plain, mtime=0) if path.suffix == ".gz" else plain


def write(out: Path, members: Mapping[str, Member]) -> None:
    """Write a root file system (members by path, parents added) to `out` (.tar.gz), deterministically."""
    complete = dict(members)
    for name in members:
        for parent in list(PurePosixPath(name).parents)[:-1]:
            complete.setdefault(str(parent), Member(mode=0o755))
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(complete):
            archive.addfile(*_tar_member(name, complete[name]))
    out.write_bytes(compressor.compress(buffer.getvalue()) + compressor.flush())


def _tar_member(name: str, member: Member) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    info = tarfile.TarInfo(f"./{name}")
    info.mode, info.uid, info.gid, info.mtime = member.mode, member.uid, member.gid, EPOCH
    if member.link:
        info.type, info.linkname = tarfile.SYMTYPE, member.link
    elif member.content is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(member.content)
        return info, io.BytesIO(member.content)
    return info, None
