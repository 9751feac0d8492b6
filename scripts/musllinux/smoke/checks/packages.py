"""Users' `apk add`, where this run's source of packages is to be reached."""

from pathlib import Path

from musllinux import certificates, web
from musllinux.errors import FactoryError
from musllinux.redact import redact
from musllinux.smoke import apkconfig
from musllinux.smoke.containers import Container
from musllinux.smoke.context import Context
from musllinux.smoke.registry import LeftOut, check, same

GROUP = "packages"
PATIENCE = (20, 20)  # seconds to connect, seconds without a byte
REFUSED = 400  # what HTTP answers from here on is no file
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
    network = apkconfig.network(context.image)
    with apkconfig.prepared(context) as mounts, context.fresh(mounts=mounts, network=network) as container:
        install(context, container, package)
        argv = ["gcc", "-x", "c", "-", "-o", "/root/program", "-lbz2"]
        container.run(*argv, stdin=PROGRAM.encode(), log=context.log)
        version = container.run("/root/program", log=context.log).out.strip()
        same("files owned", container.run("apk", "info", "-e", package, log=context.log).out.strip(), package)
    return f"{package}, program says {version}"


def install(context: Context, container: Container, *packages: str) -> None:
    """`apk add` in a throwaway container with the mounts of `apkconfig`, from this run's source.

    The stand-in has no secrets; its key and address are in no image.
    """
    supply = context.image.supply
    if not supply.apk_key:
        container.run("sh", "-c", apkconfig.ADD, "sh", *packages, log=context.log)
        return
    key = Path(supply.apk_key)
    container.put({f"etc/apk/keys/{key.name}": key}, "/")
    options = ["--no-cache", "--quiet", "--repositories-file", "/dev/null"]
    options += [word for url in context.image.repositories for word in ("--repository", url)]
    container.run("apk", "add", *options, *packages, log=context.log)


def _reachable(context: Context) -> None:
    """Raises LeftOut where the source does not answer, asked as apk will ask it."""
    image = context.image
    url = f"{image.repositories[0]}/{image.arch.apk}/APKINDEX.tar.gz"
    try:
        status, _ = web.head(url, certificates.bundle(), PATIENCE)
    except FactoryError as error:
        raise LeftOut(f"{error.message} ({error.hint})" if error.hint else error.message) from None
    if status >= REFUSED:
        raise LeftOut(f"{redact(url)}: the server answers {status}")
