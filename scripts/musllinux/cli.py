"""The command line: which verbs there are, and the one place that turns an expected error into a line and a code.

A verb's module is imported when the verb runs, so that `--help` does not wait for the engine's or the stand-in's code.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from musllinux.complaint import show
from musllinux.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    FactoryError,
    UsageError,
)
from musllinux.machine import refusal

Parser = argparse.ArgumentParser


@dataclass(frozen=True, kw_only=True)
class Verb:
    """`module` has `command(args: Namespace) -> int`; `options` adds what only this verb takes.

    `cache`: it uses the cache folder, which stays while it runs, whatever `clean --cache` is asked for.
    """

    name: str
    module: str
    help: str
    images: bool = True  # takes image ids, --policy, --arch, --interpreters, --sources
    options: Callable[[Parser], None] = lambda _: None
    json: bool = True  # takes --json
    no_json: Callable[[argparse.Namespace], str] = lambda _: ""  # with these arguments it has no result: what has one
    cache: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is its exit code (musllinux.errors.EXIT_*)."""
    _tolerate_unprintable()
    try:
        args = parser().parse_args(argv)
        _refuse_idle_json(args)
        if args.ca_bundle:
            _trust(args.ca_bundle)
        with _cache_held(args.verb):
            return _command(args)(args)
    except KeyboardInterrupt:
        return _report("interrupted", code=EXIT_INTERRUPTED)
    except BrokenPipeError:  # `musllinux list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except FactoryError as error:
        return _report(error.message, error.hint, error.log, code=error.exit_code)
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        return _report(refused.message, refused.hint, code=EXIT_FAILED)
    except Exception as error:
        if not _is_standin_error(error):
            raise  # a bug: its traceback is what helps
        return _report(str(vars(error)["message"]), str(vars(error)["hint"]), code=EXIT_FAILED)


def parser() -> Parser:
    """The whole command line. Bad arguments raise UsageError."""
    top = _Parser(
        prog="musllinux",
        description="Builds, tries and publishes the musllinux images that matrix.yaml describes.",
        epilog="Images are named by id (musllinux_1_2_aarch64) or by --policy and --arch; all by default. "
        "Exit codes: 0 done, 1 something asked for failed, 2 bad usage or a bad matrix, 130 interrupted.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.help, description=f"{verb.help}.")
        sub.set_defaults(verb=verb)
        _common(sub, verb)
        verb.options(sub)
    return top


def _refuse_idle_json(args: argparse.Namespace) -> None:
    verb: Verb = args.verb
    instead = verb.no_json(args) if getattr(args, "json", False) else ""
    if instead:
        raise UsageError(f"--json: with these arguments `musllinux {verb.name}` has no result to show", hint=instead)


class _Parser(Parser):
    """argparse's own, but a wrong argument is an error like any other."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"(?:invalid choice: '|unrecognized arguments: )([\w-]+)", message)
        meant = _meant(wrong[1]) if wrong else ""
        raise UsageError(message, hint=f"{meant}`{self.prog} --help` shows what there is")


def _meant(word: str) -> str:
    """What to say of a word that was not understood: whose option it is, or what it looks like."""
    options = {verb.name: _options(verb) for verb in VERBS}
    takers = [name for name, known in options.items() if word in known]
    if takers:
        return f"{word} is an option of {', '.join(takers)}; "
    close = get_close_matches(word, set(options).union(*options.values()), n=1)
    return f"did you mean {close[0]}? " if close else ""


def _options(verb: Verb) -> set[str]:
    sub = Parser(add_help=False)
    _common(sub, verb)
    verb.options(sub)
    return set(sub._option_string_actions)


class _Version(argparse.Action):
    """Prints the version. Asking the installed package for it takes a tenth of a second: only when asked."""

    def __call__(self, parser: Parser, *_: Any) -> NoReturn:
        from importlib.metadata import version  # noqa: PLC0415

        print(f"musllinux {version('musllinux-factory')}")
        parser.exit()


class _Names(argparse.Action):
    """`--arch x86_64,i686 --arch aarch64`: a list, repeatable."""

    def __call__(self, parser: Parser, args: argparse.Namespace, values: Any, option: str | None = None) -> None:
        names = [name for name in str(values).replace(",", " ").split() if name]
        if not names:
            parser.error(f"argument {option}: no name given")
        setattr(args, self.dest, [*(getattr(args, self.dest) or ()), *names])


def _common(sub: Parser, verb: Verb) -> None:
    add = sub.add_argument
    add("--matrix", action="append", type=Path, metavar="FILE", help="an overlay over matrix.yaml; repeatable")
    if verb.json:
        add("--json", action="store_true", help="the result as JSON on standard output")
    help_of_bundle = "certificates (PEM) that every download trusts; default: SSL_CERT_FILE, else the system's"
    add("--ca-bundle", type=Path, metavar="FILE", help=help_of_bundle)
    if not verb.images:
        return
    add("ids", nargs="*", metavar="IMAGE", help="ids such as musllinux_1_2_x86_64")
    add("--policy", action=_Names, metavar="NAMES", help="only these policies: musllinux_1_2")
    add("--arch", action=_Names, metavar="NAMES", help="only these architectures, as wheels call them: x86_64,i686")
    add("--interpreters", action=_Names, metavar="NAMES", help="only these interpreters: cp39-cp39,cp314-cp314t")
    add(
        "--sources",
        choices=["auto", "upstream", "standin"],
        default="auto",
        help="where inputs come from; auto: upstream, or the stand-in where no upstream host answers",
    )


def _list_options(sub: Parser) -> None:
    forms = ["table", "json", "github", "bake", "emulators"]
    text = "github: a strategy.matrix; bake: a file for docker buildx bake; emulators: for scripts/setup"
    sub.add_argument("--format", choices=forms, help=text)


def _render_options(sub: Parser) -> None:
    sub.add_argument("--check", action="store_true", help="write nothing; fail where images/ is not up to date")


def _lock_options(sub: Parser) -> None:
    sub.add_argument("--check", action="store_true", help="write nothing; say what is newer, exit 1 where something is")
    sub.add_argument("--only", action="append", choices=["tools", "cpython", "bases"], help="this part; repeatable")
    sub.add_argument(
        "--unsigned",
        action=_Names,
        metavar="SERIES",
        help="lock CPython of this series (3.14) although its signature is gone or cannot be read; repeatable",
    )


def _build_options(sub: Parser) -> None:
    either = sub.add_mutually_exclusive_group()
    either.add_argument("--smoke", action="store_true", help="try each image once it is built")
    either.add_argument(
        "--prepare",
        action="store_true",
        help="only lay out contexts, Dockerfiles and secrets in build/, for docker buildx bake",
    )
    sub.add_argument(
        "--lock-missing", action="store_true", help="from upstream: first lock the base images that have no digest yet"
    )
    sub.add_argument("--builder", default="", metavar="NAME", help="a buildx builder to hand the work to")
    _jobs(sub)


def _smoke_options(sub: Parser) -> None:
    sub.add_argument("--again", action="store_true", help="also what was green already for this very image")
    _jobs(sub)


def _push_options(sub: Parser) -> None:
    sub.add_argument("--registry", metavar="HOST[/PATH]", help="instead of the matrix's registry and organisation")
    sub.add_argument("--tag", metavar="YYYY.MM.DD-N", help="instead of today's next")


def _standin_options(sub: Parser) -> None:
    sub.add_argument("action", choices=["up", "down", "status"], help="start, stop, or say what there is")
    for name in ("policy", "arch", "interpreters"):
        sub.add_argument(f"--{name}", action=_Names, metavar="NAMES", help="only what these need")


def _clean_options(sub: Parser) -> None:
    sub.add_argument("--cache", action="store_true", help="remove downloads and the stand-in's products too")


def _jobs(sub: Parser) -> None:
    sub.add_argument(
        "--jobs", type=_count, metavar="N", help="images at once; by default what processors and memory allow"
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_count.__name__ = "number of jobs"  # argparse says: invalid number of jobs value: '0'

VERBS = (
    Verb(
        name="list",
        module="musllinux.listing",
        help="What the matrix means",
        options=_list_options,
        no_json=lambda args: "--format=json is the same as --json" if args.format == "table" else "",
    ),
    Verb(
        name="render",
        module="musllinux.render",
        help="Write images/<id>/Dockerfile from matrix, lock and templates",
        options=_render_options,
        json=False,
    ),
    Verb(
        name="lock",
        module="musllinux.lock",
        help="Resolve versions and checksums into lock.yaml and lock/",
        images=False,
        options=_lock_options,
        no_json=lambda args: "" if args.check else "`musllinux lock --check --json` says what is newer",
        cache=True,
    ),
    Verb(
        name="build",
        module="musllinux.build",
        help="Build images",
        options=_build_options,
        no_json=lambda args: "`musllinux list --format bake` is JSON of what is laid out" if args.prepare else "",
        cache=True,
    ),
    Verb(name="smoke", module="musllinux.smoke", help="Try images that are built", options=_smoke_options, cache=True),
    Verb(name="push", module="musllinux.push", help="Push images that are tried", options=_push_options),
    Verb(name="report", module="musllinux.report", help="What was built and tried, from the records in build/"),
    Verb(name="doctor", module="musllinux.doctor", help="What this machine has and lacks", images=False),
    Verb(
        name="standin",
        module="musllinux.rehearsal",
        help="Rehearse without Alpine's mirrors: substitutes from Debian and PyPI packages on loopback",
        images=False,
        options=_standin_options,
        no_json=lambda args: "`musllinux standin status --json` has" if args.action == "down" else "",
        cache=True,
    ),
    Verb(
        name="clean",
        module="musllinux.clean",
        help="Remove what runs have left in build/",
        options=_clean_options,
    ),
)


def _trust(bundle: Path) -> None:
    from musllinux import certificates  # noqa: PLC0415 - with --ca-bundle only

    certificates.trust(bundle)


def _cache_held(verb: Verb) -> AbstractContextManager[None]:
    if not verb.cache:
        return nullcontext()
    from musllinux import alone, settings  # noqa: PLC0415 - for verbs that take long

    return alone.sharing(settings.cache_folder())


def _command(args: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    verb: Verb = args.verb
    if find_spec(verb.module) is None:
        raise UsageError(f"`musllinux {verb.name}` is not part of this version yet")
    command: Callable[[argparse.Namespace], int] = import_module(verb.module).command
    return command


def _is_standin_error(error: Exception) -> bool:
    """Without importing the stand-in: whoever raised its error has."""
    module = sys.modules.get("standin.errors")
    return module is not None and isinstance(error, module.StandinError)


def _report(message: str, hint: str = "", log: str = "", *, code: int) -> int:
    show(FactoryError(message, hint=hint, log=log))
    return code


def _tolerate_unprintable() -> None:
    """A terminal that cannot show a character gets its escape, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
