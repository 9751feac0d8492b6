"""Coverage-guided fuzzing of muslabi with atheris: `python harness.py TARGET [libFuzzer options] CORPUS`.

Targets: `elf` (an ELF file through reader, rules and both reports), `wheel` (the bytes of a whole archive),
`info` (WHEEL, METADATA and RECORD), `tangle` (several ELF files that need each other).
Anything but muslabi's own errors is a crash; libFuzzer's -timeout and -rss_limit_mb find hangs and greed.
"""

import sys
import tempfile
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["muslabi"]):
    from muslabi import Terms, metadata
    from muslabi.archive import Limits, WheelError
    from muslabi.audit import audit
    from muslabi.bundle import Bundle, _member, installed_path, read_wheel
    from muslabi.elf import ElfError
    from muslabi.scope import Scope, ScopeError
    from muslabi.tags import parse

NAME = "thing-1.0-cp39-abi3-musllinux_1_2_x86_64.musllinux_1_1_i686.whl"
TERMS = Terms(today=date(2026, 11, 1), standin=False)
LIMITS = Limits(member_bytes=64 << 20, total_bytes=64 << 20)
INFO = "thing-1.0.dist-info"
FOLDER = Path(tempfile.mkdtemp())  # run.py removes it: libFuzzer ends the process without a word to Python
EXPECTED = (ElfError, WheelError, ScopeError)


def audited(bundle: Bundle, data: bytes) -> None:
    """The rules and both reports cost ten times what reading does: one input in sixteen gets there."""
    if sum(data[-64:]) % 16 == 0:
        report = audit(bundle, TERMS)
        report.to_json().encode()
        report.to_text().encode("utf-8", "strict")


def elf(data: bytes) -> None:
    member = _member("a/x.so", "a/x.so", data)
    audited(Bundle(NAME, "wheel", parse(NAME), (member,)), data)


def tangle(data: bytes) -> None:
    parts = data.split(b"\x7fELF")[1:9]
    names = [f"thing-1.0.data/platlib/a/lib{number}.so" for number in range(len(parts))]
    members = tuple(
        _member(name, installed_path(name), b"\x7fELF" + part) for name, part in zip(names, parts, strict=True)
    )
    bundle = Bundle(NAME, "wheel", parse(NAME), members)
    scope = Scope(bundle)
    for member in members:
        scope.lacking(member, member.elf.required)
        scope.outside(member)
        scope.unreachable(member)
    audited(bundle, data)


def wheel(data: bytes) -> None:
    path = FOLDER / NAME
    path.write_bytes(data)
    audited(read_wheel(path, LIMITS), data)


class Texts:
    """A wheel as far as its dist-info goes."""

    def __init__(self, texts: list[bytes]) -> None:
        names = (f"{INFO}/WHEEL", f"{INFO}/METADATA", f"{INFO}/RECORD")
        self.texts = {name: text.decode("utf-8", "replace") for name, text in zip(names, texts, strict=True)}
        self.members = [zipfile.ZipInfo(name) for name in names]

    def text(self, name: str) -> "str | None":
        return self.texts.get(name)


def info(data: bytes) -> None:
    texts: Any = Texts([*data.split(b"\xff\xff"), b"", b"", b""][:3])
    found = [
        *metadata.check_metadata(texts, metadata.dist_info(texts), parse(NAME)),
        *metadata.check_record(texts, INFO, {"a/x.so": "abc"}),
    ]
    "".join(finding.message for finding in found).encode("utf-8", "strict")


TARGETS: dict[str, Callable[[bytes], None]] = {"elf": elf, "tangle": tangle, "wheel": wheel, "info": info}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]

    def one_input(data: bytes) -> None:
        try:
            target(data)
        except EXPECTED as error:
            if not str(error):
                raise AssertionError("an error without words") from error

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
