"""The command: `muslabi FILE...` for wheels, ELF files and folders."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Callable, Iterator
from functools import partial
from io import TextIOWrapper
from pathlib import Path

from muslabi import __version__, bundle
from muslabi.archive import WheelError
from muslabi.audit import audit
from muslabi.bundle import Bundle
from muslabi.database import load
from muslabi.elf import ElfError
from muslabi.report import FAIL, WheelReport, document, printable
from muslabi.scope import ScopeError
from muslabi.tags import TagError
from muslabi.terms import Ignore, Terms, TermsError

OK, FOUND, UNUSABLE, INTERRUPTED = 0, 1, 2, 130

_EPILOG = """exit codes: 0 no errors (warnings may stand); 1 a file is refused; 2 bad usage, or a file that
cannot be read; 130 interrupted. A folder is audited as one installation; wheels in it one by one."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="muslabi",
        description="Which musl do wheels and ELF files really need, and what do they mix? Runs nothing of them.",
        epilog=_EPILOG,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a wheel, an ELF file or a folder")
    parser.add_argument("--policy", help="hold the files to this policy (musllinux_1_2), not to their tags")
    parser.add_argument("--floor", metavar="MUSL", help="the oldest musl to run on (1.2.2), not the policy's")
    parser.add_argument("--strict-time64", action="store_true", help="a mix of time32 and time64 is an error")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="CODE[=GLOB]",
        help="leave out a finding, or only in files that match (feature-relr=*.libs/*); repeatable",
    )
    parser.add_argument("--json", action="store_true", help="a machine-readable report on standard output")
    parser.add_argument("--version", action="version", version=f"muslabi {__version__}")
    return parser


def _is(test: Callable[[], bool]) -> bool:
    """A question to the file system; one that it refuses (a name too long, say) is answered No."""
    try:
        return test()
    except OSError:
        return False


def _expanded(paths: list[Path]) -> Iterator[Path]:
    """`paths`, with patterns (dist/*.whl) filled in: on Windows shells leave that to the program."""
    for path in paths:
        found = [] if _is(path.exists) else sorted(glob.glob(str(path)))  # noqa: PTH207 - pathlib's refuses some
        yield from map(Path, found or [str(path)])


def _jobs(path: Path) -> Iterator[tuple[str, Callable[[], Bundle]]]:
    """What there is to read at `path`: a label, and how to read it."""
    if _is(path.is_dir):
        try:
            wheels = list(bundle.wheels_below(path))
        except OSError:
            wheels = []  # reading the folder meets the same, and tells it
        for wheel in wheels:
            yield str(wheel), partial(bundle.read_wheel, wheel)
        yield str(path), partial(bundle.read_folder, path)
    elif path.suffix == ".whl":
        yield str(path), partial(bundle.read_wheel, path)
    else:
        yield str(path), partial(bundle.read_file, path)


def _audit_all(paths: list[Path], terms: Terms) -> tuple[list[WheelReport], list[tuple[str, str]]]:
    reports, failures = [], []
    for path in _expanded(paths):
        wheels = 0
        for label, read in _jobs(path):
            try:
                found = read()
                if found.kind == "folder" and wheels and not (found.members or found.findings):
                    continue  # a folder of wheels, which have been audited one by one
                reports.append(audit(found, terms))
                wheels += 1
            except OSError as error:
                where = label if error.filename is None else str(error.filename)
                failures.append((where, f"cannot be opened: {error.strerror or error}"))
            except (WheelError, TagError, ElfError, ScopeError) as error:
                failures.append((label, str(error)))
    return reports, failures


def _terms(given: argparse.Namespace) -> Terms:
    terms = Terms(
        policy=given.policy,
        floor=given.floor,
        strict_time64=given.strict_time64,
        ignore=tuple(Ignore.parse(text) for text in given.ignore),
    )
    terms.check(load())
    return terms


def main(argv: list[str] | None = None) -> int:
    """Runs the command; the exit code is for the caller to return."""
    try:
        return _run(_parser().parse_args(argv))
    except KeyboardInterrupt:
        print("muslabi: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(given: argparse.Namespace) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names may hold what a system's code page has not
            stream.reconfigure(errors="backslashreplace")
    try:
        terms = _terms(given)
    except TermsError as error:
        print(f"muslabi: {error}", file=sys.stderr)
        return UNUSABLE
    reports, failures = _audit_all(given.files, terms)
    try:
        _show(reports, failures, as_json=given.json)
    except BrokenPipeError:  # `muslabi ... | head`
        sys.stderr.close()
    if failures:
        return UNUSABLE
    return FOUND if any(report.verdict == FAIL for report in reports) else OK


def _show(reports: list[WheelReport], failures: list[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        print(document(reports, failures))
    else:
        for report in reports:
            print(report.to_text())
    for source, reason in failures:
        print(f"muslabi: {printable(source)}: {printable(reason)}", file=sys.stderr)
    sys.stdout.flush()
