"""Coverage-guided fuzzing of muslabi with atheris: `python harness.py TARGET [libFuzzer options] CORPUS`.

Targets: `elf` (an ELF file through reader, rules and both reports), `wheel` (the bytes of a whole archive),
`info` (WHEEL, METADATA and RECORD in a sound archive), `tangle` (several ELF files that need each other).
Anything but muslabi's own errors is a crash; libFuzzer's -timeout and -rss_limit_mb find hangs and greed.
"""

import io
import sys
import tempfile
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["muslabi"]):
    from muslabi import Terms, audit_wheel
    from muslabi.archive import Limits, WheelError
    from muslabi.audit import audit
    from muslabi.bundle import Bundle, _member, installed_path
    from muslabi.elf import ElfError
    from muslabi.report import WheelReport
    from muslabi.scope import ScopeError
    from muslabi.tags import parse

NAME = "thing-1.0-cp39-abi3-musllinux_1_2_x86_64.musllinux_1_1_i686.whl"
TERMS = Terms(today=date(2026, 11, 1), standin=False)
LIMITS = Limits(member_bytes=64 << 20, total_bytes=64 << 20)
INFO = "thing-1.0.dist-info"
SHM = Path("/dev/shm")  # memory: a million small files would wear a disk
FOLDER = Path(tempfile.mkdtemp(dir=SHM if SHM.is_dir() else None))
EXPECTED = (ElfError, WheelError, ScopeError)


def show(report: WheelReport, data: bytes) -> None:
    if not len(data) % 8:  # the reports cost as much as the rest: an eighth of the inputs will do
        report.to_json().encode()
        report.to_text().encode("utf-8", "strict")


def elf(data: bytes) -> None:
    bundle = Bundle(NAME, "wheel", parse(NAME), (_member("a/x.so", "a/x.so", data),))
    show(audit(bundle, TERMS), data)


def tangle(data: bytes) -> None:
    parts = data.split(b"\x7fELF")[1:9]
    names = [f"thing-1.0.data/platlib/a/lib{number}.so" for number in range(len(parts))]
    members = tuple(
        _member(name, installed_path(name), b"\x7fELF" + part) for name, part in zip(names, parts, strict=True)
    )
    show(audit(Bundle(NAME, "wheel", parse(NAME), members), TERMS), data)


def wheel(data: bytes) -> None:
    path = FOLDER / NAME
    path.write_bytes(data)
    show(audit_wheel(path, TERMS, LIMITS), data)


def info(data: bytes) -> None:
    texts = [*data.split(b"\xff\xff"), b"", b"", b""][:3]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/x.so", ELF)
        for name, text in zip(("WHEEL", "METADATA", "RECORD"), texts, strict=True):
            archive.writestr(f"{INFO}/{name}", text)
    wheel(buffer.getvalue())


TARGETS: dict[str, Callable[[bytes], None]] = {"elf": elf, "tangle": tangle, "wheel": wheel, "info": info}
ELF = b"\x7fELF"


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
    try:
        main()
    finally:
        for left in FOLDER.glob("*"):
            left.unlink()
        FOLDER.rmdir()
