"""Whether two images have the same files: paths, kinds, modes, owners, contents, links; times are not looked at.

    python -m tests.reproducible.compare A B      A, B: an image's name or id, or a file of `docker export`

Exit code 0 where they are the same; else the differences, one a line, and 1.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

CHUNK = 1 << 20
# What the engine puts into every container it makes for an export, and no image has.
_ENGINES = {
    ".dockerenv",
    "dev/console",
    "dev/pts",
    "dev/shm",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of an image. `content` is the SHA-256 of a regular file, or where a link leads."""

    kind: str
    mode: str
    owner: str
    content: str


def entries(stream: IO[bytes]) -> dict[str, Entry]:
    """The files of a tar stream, by path."""
    found: dict[str, Entry] = {}
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            path = member.name.removeprefix("./").strip("/")
            if path in _ENGINES:
                continue
            found[path] = Entry(
                kind=member.type.decode(),
                mode=f"{member.mode:04o}",
                owner=f"{member.uid}:{member.gid}",
                content=_content(tar, member),
            )
    return found


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member) if member.isreg() else None
    if file is None:
        return member.linkname
    total = hashlib.sha256()
    while chunk := file.read(CHUNK):
        total.update(chunk)
    return total.hexdigest()


def differences(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> Iterator[str]:
    """A line for each: `only in the first: path`, or the path and what differs."""
    for path in sorted({*one, *other}):
        if path not in other:
            yield f"only in the first: {path}"
        elif path not in one:
            yield f"only in the second: {path}"
        elif one[path] != other[path]:
            names = [f.name for f in fields(Entry) if getattr(one[path], f.name) != getattr(other[path], f.name)]
            what = ", ".join(f"{n} {getattr(one[path], n)[:16]} / {getattr(other[path], n)[:16]}" for n in names)
            yield f"{path}: {what}"


@contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    """The tar stream of an image or of a file."""
    if Path(name).is_file():
        with Path(name).open("rb") as stream:
            yield stream
        return
    made = subprocess.run(["docker", "create", name, "/bin/true"], check=True, capture_output=True, text=True)
    container = made.stdout.strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            yield process.stdout
    finally:
        subprocess.run(["docker", "rm", "--force", container], check=True, capture_output=True)


def read(name: str) -> dict[str, Entry]:
    with opened(name) as stream:
        return entries(stream)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs=2, metavar="IMAGE")
    one, other = (read(name) for name in parser.parse_args().images)
    found = list(differences(one, other))
    print("\n".join(found) or f"the same {len(one)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
