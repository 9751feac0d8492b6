"""Alpine's package index, as far as a build needs it: which packages a wish brings in, and when they change.

Format: an APKINDEX.tar.gz is two gzip members, a signature and a tar with the file APKINDEX; that holds a paragraph
for each package with lines `X:value`: P name, V version, C checksum, D depends, p provides (apk-tools, src/package.c).
"""

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from musllinux.errors import FactoryError

_VERSIONED = re.compile(r"[<>=~]")  # libfoo>=1.2, so:libc.so=1: the name ends here


@dataclass(frozen=True, kw_only=True)
class Package:
    name: str
    checksum: str  # Q1…: of the control segment, which holds the data's own sum
    depends: tuple[str, ...]
    provides: tuple[str, ...]
    version: str = ""


def parse(archive: bytes) -> list[Package]:
    """The packages of an APKINDEX.tar.gz. Raises FactoryError where it is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive)), ignore_zeros=True) as tar:
            member = tar.extractfile("APKINDEX")
            text = member.read().decode() if member else ""
    except (OSError, EOFError, tarfile.TarError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise FactoryError(f"not an apk index: {error}", hint="is the mirror's address right?") from error
    return [_package(paragraph) for paragraph in text.split("\n\n") if paragraph.strip()]


def _package(paragraph: str) -> Package:
    values = {line[0]: line[2:] for line in paragraph.splitlines() if line[1:2] == ":"}
    return Package(
        name=values.get("P", ""),
        checksum=values.get("C", ""),
        depends=tuple(_names(values.get("D", ""))),
        provides=tuple(_names(values.get("p", ""))),
        version=values.get("V", ""),
    )


def _names(text: str) -> Iterable[str]:
    """Names without their versions; conflicts (`!name`) bring nothing in."""
    return (_VERSIONED.split(word)[0] for word in text.split() if not word.startswith("!"))


def closure(packages: Iterable[Package], wanted: Iterable[str]) -> list[Package]:
    """The wanted packages and everything they depend on, sorted by name.

    What the index does not have (the base has it) does not count. Of several providers all count.
    """
    by_name = _providers(packages)
    seen: dict[str, Package] = {}
    queue = list(wanted)
    while queue:
        for package in by_name.get(queue.pop(), ()):
            if package.name not in seen:
                seen[package.name] = package
                queue.extend(package.depends)
    return [package for _, package in sorted(seen.items())]


def content(packages: Iterable[Package], wanted: Iterable[str]) -> str:
    """A short hash that changes when one of the wanted packages, or anything they depend on, changes."""
    lines = "".join(f"{package.name} {package.checksum}\n" for package in closure(packages, wanted))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _providers(packages: Iterable[Package]) -> Mapping[str, list[Package]]:
    found: dict[str, list[Package]] = {}
    for package in packages:
        for name in (package.name, *package.provides):
            found.setdefault(name, []).append(package)
    return found
