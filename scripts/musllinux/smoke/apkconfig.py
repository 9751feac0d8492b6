"""This run's way to Alpine's packages, handed to apk in a container: repositories, proxies and CA of a build.

It is a build's own hand-over (`handover.secrets`, read by images/files/build/sources.sh), mounted where a build's steps
find it, so that no credential appears in an argument, a variable or a container's description.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from musllinux import certificates, handover
from musllinux.model import Image
from musllinux.smoke import mounted
from musllinux.smoke.containers import Mount
from musllinux.smoke.context import Context

SECRETS = "/run/secrets"  # in a container: where sources.sh looks
SCRIPT = "sources.sh"
ADD = f'. {SECRETS}/{SCRIPT}; apk add --quiet $apk_flags "$@"'  # for sh; its arguments are packages


def network(image: Image) -> str:
    """The engine's network for containers that use it: `host` where a mirror or a proxy is on loopback."""
    return handover.network(image, handover.proxies())


@contextmanager
def prepared(context: Context) -> Iterator[list[Mount]]:
    """Mounts that make ADD reach what a build reaches. They last as long as the block. None for the stand-in.

    Raises FactoryError: certificates that are none, or too many; a folder that takes nothing.
    """
    if context.image.supply.apk_key:
        yield []
        return
    contents = handover.secrets(context.image, handover.proxies(), certificates.bundle())
    contents[SCRIPT] = (context.root / "images/files/build" / SCRIPT).read_bytes()
    with mounted.held(contents) as paths:
        yield [Mount(source=path, target=f"{SECRETS}/{name}") for name, path in paths.items()]
