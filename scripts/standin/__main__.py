"""`python -m standin`: substitutes for Alpine's mirrors out of Debian and PyPI packages, on loopback."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from standin import control
from standin.apt import Apt
from standin.cache import Cache
from standin.catalogue import load_catalogue, load_targets
from standin.errors import StandinError
from standin.factory import Factory
from standin.state import State


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 done, 1 something asked for failed, 2 bad usage."""
    options = _parser().parse_args(arguments)
    try:
        answer: int = options.run(options)
    except StandinError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept, `up` goes on from there", file=sys.stderr)
        return 130
    return answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="standin", description=__doc__)
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="instead of the user's cache folder")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    up = verbs.add_parser("up", help="make what is missing and serve it")
    up.set_defaults(run=_up)
    up.add_argument("--arch", action="append", default=[], metavar="ARCH", help="apk's name; may be repeated")
    up.add_argument("--policy", action="append", default=[], metavar="POLICY")
    up.add_argument("--only", nargs="+", default=[], metavar="NAME", help="make only these recipes now")
    up.add_argument("--python", nargs="+", default=[], metavar="X.Y", help="series of CPython besides the default ones")
    up.add_argument("--minirootfs", type=Path, metavar="FOLDER", help="Alpine's minirootfs tarballs")
    up.add_argument("--recipes", type=Path, metavar="FOLDER", help="recipes instead of the package's own")
    up.add_argument("--refresh", action="store_true", help="read Debian's indexes again; rebuild what changed")
    up.add_argument("--accept-newer", action="store_true", help="take an unpinned CPython if Debian moved on")
    up.add_argument("--json", action="store_true", help="print the state as JSON")
    down = verbs.add_parser("down", help="stop serving; everything made is kept")
    down.set_defaults(run=_down)
    status = verbs.add_parser("status", help="say what there is; exit 1 if it is not served")
    status.set_defaults(run=_status)
    status.add_argument("--json", action="store_true")
    tree = verbs.add_parser("tree", help="build recipes' trees and print where they are (for recipe writers)")
    tree.set_defaults(run=_tree)
    tree.add_argument("names", nargs="+", metavar="NAME")
    tree.add_argument("--arch", default="x86_64")
    tree.add_argument("--policy", default="musllinux_1_2")
    return parser


def _up(options: argparse.Namespace) -> int:
    state = control.up(
        control.Options(
            cache=options.cache,
            architectures=tuple(options.arch),
            policies=tuple(options.policy),
            only=tuple(options.only),
            pythons=tuple(options.python),
            minirootfs=options.minirootfs,
            recipes=options.recipes,
            refresh=options.refresh,
            accept_newer=options.accept_newer,
        ),
        _report,
    )
    print(json.dumps(state.to_json(), indent=1) if options.json else "\n".join(_table(state)))
    missing = [series for series in options.python if series in state.without]
    if missing:
        raise StandinError(f"without CPython {', '.join(missing)}: {state.without[missing[0]]}")
    return 0


def _down(options: argparse.Namespace) -> int:
    print("stopped" if control.down(options.cache, _report) else "nothing was running")
    return 0


def _status(options: argparse.Namespace) -> int:
    found = control.status(options.cache)
    if options.json:
        running = {"mirror": found.mirror_running, "registry": found.registry_running}
        state = found.state.to_json() if found.state else None
        print(json.dumps({"cache": str(found.root), "running": running, "state": state}, indent=1))
    elif found.state is None:
        print(f"nothing yet in {found.root}: run `standin up`")
    else:
        print("\n".join(_table(found.state)))
        if not found.running:
            print("not served now: run `standin up`")
    return 0 if found.running else 1


def _table(state: State) -> list[str]:
    rows = [("mirror", state.mirror), ("registry", state.registry), ("key", state.key)]
    rows += [
        (f"base {base.apk_arch}", f"{base.reference} {base.role} ({base.origin}, musl {base.musl})")
        for base in state.bases
    ]
    rows += [(f"CPython {version}", facts["file"]) for version, facts in state.archives.items()]
    rows += [(f"no CPython {series}", reason) for series, reason in state.without.items()]
    rows += [("index", f"{place} {sha256[:12]}") for place, sha256 in state.index.items()]
    rows += [(f"lacks {arch}", " ".join(names) or "nothing") for arch, names in state.lacks.items()]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def _tree(options: argparse.Namespace) -> int:
    cache = Cache(options.cache.absolute() if options.cache else control.Options().root)
    targets = load_targets()
    if options.arch not in targets:
        raise StandinError(f"no architecture {options.arch}", hint=f"apk's names are {', '.join(targets)}")
    factory = Factory(cache, Apt(cache, _report), targets[options.arch], _report)
    for recipe in load_catalogue(options.policy, options.arch).closure(options.names):
        print(recipe.name, factory.tree(recipe).path)
    return 0


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
