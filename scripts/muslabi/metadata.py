"""What a wheel's dist-info says about itself, held against its file name and its files (PEP 427, 376)."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Container, Iterator
from io import StringIO

from muslabi.archive import Wheel
from muslabi.findings import Finding, find, some
from muslabi.tags import WheelName

_HEADER = re.compile(r"(?P<key>[A-Za-z-]{1,40}): *(?P<value>.{0,1000})")
_MOST_HEADERS = 1 << 20  # characters; honest ones have a few thousand before the empty line
_HASHES = ("sha256", "sha384", "sha512")  # those PEP 427 allows


def dist_info(wheel: Wheel) -> str | None:
    """The one top-level `*.dist-info` folder that holds a WHEEL file; None without, or with several."""
    found = {
        info.filename.split("/")[0]
        for info in wheel.members
        if info.filename.endswith(".dist-info/WHEEL") and info.filename.count("/") == 1
    }
    return found.pop() if len(found) == 1 else None


def headers(text: str, key: str) -> list[str]:
    """The values of one header, up to the first empty line."""
    values = []
    for line in text[:_MOST_HEADERS].split("\n"):
        if not line.strip():
            break
        match = _HEADER.fullmatch(line.rstrip("\r"))
        if match and match["key"].lower() == key.lower():
            values.append(match["value"].strip())
    return values


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def check_metadata(wheel: Wheel, folder: str | None, name: WheelName) -> Iterator[Finding]:
    """Findings about WHEEL and METADATA."""
    if folder is None:
        yield find("bad-metadata", "", "there is not exactly one *.dist-info/WHEEL")
        return
    tags = set(headers(wheel.text(f"{folder}/WHEEL") or "", "Tag"))
    if tags != name.triples():
        yield find(
            "bad-metadata",
            f"{folder}/WHEEL",
            f"its tags ({some(tuple(sorted(tags))) or 'none'}) are not those of the file name",
        )
    metadata = wheel.text(f"{folder}/METADATA")
    if metadata is None:
        yield find("bad-metadata", folder, "there is no METADATA")
        return
    for key, said in (("Name", name.name), ("Version", name.version)):
        values = headers(metadata, key)
        if [_normal(value) for value in values] != [_normal(said)]:
            yield find("bad-metadata", f"{folder}/METADATA", f"{key} is {some(tuple(values)) or 'missing'}, not {said}")


def read_record(text: str, wanted: Container[str]) -> dict[str, str]:
    """File name -> "algorithm=digest" of a RECORD, for the wanted files. Raises csv.Error for what is no CSV."""
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[0] in wanted}


def check_record(wheel: Wheel, folder: str | None, digests: dict[str, str]) -> Iterator[Finding]:
    """Findings about RECORD. `digests` are those of the wheel's ELF files (SHA-256, as RECORD writes it)."""
    text = wheel.text(f"{folder}/RECORD") if folder else None
    if text is None:
        yield find("bad-record", "", "there is no RECORD")
        return
    try:
        record = read_record(text, digests)
    except csv.Error as error:
        yield find("bad-record", f"{folder}/RECORD", f"is not CSV: {error}")
        return
    for name, digest in digests.items():
        said = record.get(name, "")
        algorithm, _, value = said.partition("=")
        if algorithm not in _HASHES:
            yield find("bad-record", name, "is not listed in RECORD with a hash")
        elif algorithm == "sha256" and value.rstrip("=") != digest:
            yield find("bad-record", name, "has another SHA-256 than RECORD says")


def encode(digest: bytes) -> str:
    """A digest as RECORD writes it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
