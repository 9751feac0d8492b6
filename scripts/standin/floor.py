"""A root file system with the oldest musl 1.2 in the field, for trying finished wheels where Alpine's own is absent.

It is not Alpine: Debian's musl (the loader, which is the whole C library) at Alpine's place, and Debian's static
busybox for a shell. No package manager, no other library.
"""

from collections.abc import Iterator
from pathlib import Path

from standin.apt import Apt
from standin.catalogue import Target
from standin.process import run
from standin.rootfs import Member, write

VERSION = 1  # bump when the same packages give another root file system
_OS_RELEASE = 'NAME="musl floor"\nID=musl-floor\nVERSION_ID={version}\nPRETTY_NAME="musl {version}, trial base"\n'
_FOLDERS = {"dev": 0o755, "proc": 0o555, "sys": 0o555, "root": 0o700, "run": 0o755, "tmp": 0o1777, "var/tmp": 0o1777}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def compose(out: Path, target: Target, apt: Apt, suite: str) -> str:
    """Write the root file system for `target` to `out` (.tar.gz); the version of musl in it."""
    [(musl, musl_tree), (_, busybox_tree)] = apt.debs(suite, target.debian_arch, ["musl", "busybox-static"])
    [(_, native)] = apt.debs(suite, apt.native, ["busybox-static"])  # to be asked for its applets
    version = musl.version.rpartition("-")[0]
    loader = next(path for path in musl_tree.glob("lib/*/libc.so") if path.is_file())
    members = {
        **{name: Member(mode=mode) for name, mode in _FOLDERS.items()},
        **{name: Member(mode=0o644, content=text.encode()) for name, text in _FILES.items()},
        "etc/os-release": Member(mode=0o644, content=_OS_RELEASE.format(version=version).encode()),
        "bin/busybox": Member(mode=0o755, content=(busybox_tree / "bin" / "busybox").read_bytes()),
        f"lib/{target.loader}": Member(mode=0o755, content=loader.read_bytes()),
        f"lib/libc.musl-{target.apk_arch}.so.1": Member(mode=0o777, link=target.loader),
        **dict(_applets(native / "bin" / "busybox")),
    }
    write(out, members)
    return version


def _applets(busybox: Path) -> Iterator[tuple[str, Member]]:
    for name in run([busybox, "--list"]).split():
        if name != "busybox":
            yield f"bin/{name}", Member(mode=0o777, link="/bin/busybox")
    yield "usr/bin/env", Member(mode=0o777, link="/bin/busybox")
