"""`python -m standin`: the stand-in without the driver."""

import argparse
import sys
from collections.abc import Sequence

from standin.apt import Apt
from standin.cache import Cache, default_root
from standin.catalogue import load_catalogue, load_targets
from standin.errors import StandinError
from standin.factory import Factory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 done, 1 something asked for failed, 2 bad usage."""
    parser = argparse.ArgumentParser(prog="standin", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    tree = verbs.add_parser("tree", help="build recipes' trees and print where they are (for recipe writers)")
    tree.add_argument("names", nargs="+", metavar="NAME")
    tree.add_argument("--arch", default="x86_64")
    tree.add_argument("--policy", default="musllinux_1_2")
    options = parser.parse_args(arguments)
    try:
        return _tree(options)
    except StandinError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _tree(options: argparse.Namespace) -> int:
    cache = Cache(default_root())
    target = load_targets()[options.arch]
    factory = Factory(cache, Apt(cache, _report), target, _report)
    for recipe in load_catalogue(options.policy, options.arch).closure(options.names):
        print(recipe.name, factory.tree(recipe).path)
    return 0


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
