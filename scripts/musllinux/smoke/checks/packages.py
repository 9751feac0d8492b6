"""Users' `apk add`, where this run's source of packages is to be reached."""

import urllib.error
import urllib.request
from pathlib import Path

from musllinux.smoke.containers import Container
from musllinux.smoke.context import Context
from musllinux.smoke.registry import LeftOut, check, same

GROUP = "packages"
PROGRAM = """#include <bzlib.h>
#include <stdio.h>
int main(void) { return puts(BZ2_bzlibVersion()) < 0; }
"""


@check(GROUP, "apk add of a small package, which then compiles", weight=4)
def add(context: Context) -> str:
    """bzip2-dev: tiny, on every release and architecture, not in the image, and its library is."""
    package = "bzip2-dev"
    if package in context.image.lacking:
        raise LeftOut(f"source {context.image.supply.name!r} lacks {package}")
    _reachable(context)
    with context.fresh(network=context.image.supply.network) as container:
        install(context, container, package)
        argv = ["gcc", "-x", "c", "-", "-o", "/root/program", "-lbz2"]
        container.run(*argv, stdin=PROGRAM.encode(), log=context.log)
        version = container.run("/root/program", log=context.log).out.strip()
        same("files owned", container.run("apk", "info", "-e", package, log=context.log).out.strip(), package)
    return f"{package}, program says {version}"


def install(context: Context, container: Container, *packages: str) -> None:
    """`apk add` in a throwaway container, from this run's source: the stand-in's key and address are in no image."""
    supply = context.image.supply
    options = ["--no-cache", "--quiet"]
    if supply.apk_key:
        key = Path(supply.apk_key)
        container.put({f"etc/apk/keys/{key.name}": key}, "/")
        options += ["--repositories-file", "/dev/null"]
        options += [word for url in context.image.repositories for word in ("--repository", url)]
    container.run("apk", "add", *options, *packages, log=context.log)


def _reachable(context: Context) -> None:
    image = context.image
    url = f"{image.repositories[0]}/{image.arch.apk}/APKINDEX.tar.gz"
    try:
        with urllib.request.urlopen(url, timeout=20):  # noqa: S310 - http(s), from the matrix
            return
    except (urllib.error.URLError, OSError) as error:
        raise LeftOut(f"{url} does not answer: {getattr(error, 'reason', error)}") from None
