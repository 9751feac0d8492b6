"""The verb that resolves versions. So far: the Python tools of the images (lock/pylock.<name>.toml)."""

import sys
from argparse import Namespace

from musllinux import toollock
from musllinux.errors import EXIT_OK
from musllinux.model import ordinal, tool_lock
from musllinux.schema import Matrix
from musllinux.settings import from_args


def command(args: Namespace) -> int:
    settings = from_args(args)
    matrix = settings.matrix()
    for name, (requirements, oldest) in wanted(matrix).items():
        print(f"locking {name}", file=sys.stderr, flush=True)
        toollock.lock(settings.root, name, requirements, oldest)
    print("lock.yaml (CPython archives, base images) is still kept by hand: docs/sources.md says how", file=sys.stderr)
    return EXIT_OK


def wanted(matrix: Matrix) -> dict[str, tuple[list[str], str]]:
    """By lock name: what is asked for, and the oldest Python it must serve."""
    series = sorted({i.series for i in matrix.interpreters.values()}, key=ordinal)
    hosts = sorted(
        {matrix.interpreters[tag].series for tag in matrix.tools.host if tag in matrix.interpreters}, key=ordinal
    )
    found = {
        "interpreter": (list(matrix.tools.interpreter), series[0]),
        toollock.INSTALLER: ([toollock.INSTALLER], series[0]),
    }
    for name, tool in matrix.tools.isolated.items():
        found[name] = ([tool.requires or name], hosts[0])
        for policy, pin in tool.pins.items():
            if policy in matrix.policies:
                found[tool_lock(name, tool, policy)] = ([pin], hosts[0])
    return found
