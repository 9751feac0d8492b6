"""What the stand-in knows about the machine it runs on: the programs it hands out are this machine's.

The compiler and the other programs of the stand-in are Debian's, for the host; a foreign image runs them
natively beside its emulated parts.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from standin.errors import StandinError


@dataclass(frozen=True, kw_only=True)
class Host:
    """apk's, Debian's and Rust's names for this machine, and the file name of glibc's loader on it."""

    apk_arch: str
    debian_arch: str
    debian_triple: str
    glibc_loader: str
    rust: str


_HOSTS: Mapping[str, Host] = MappingProxyType(
    {
        "x86_64": Host(
            apk_arch="x86_64",
            debian_arch="amd64",
            debian_triple="x86_64-linux-gnu",
            glibc_loader="ld-linux-x86-64.so.2",
            rust="x86_64-unknown-linux-gnu",
        ),
    }
)


def this_host(machine: str | None = None) -> Host:
    """The facts of this machine (or of `machine`, a name as `uname -m` gives it).

    Raises StandinError where the stand-in has no programs for it.
    """
    name = machine or platform.machine()
    try:
        return _HOSTS[name]
    except KeyError:
        raise StandinError(
            f"the stand-in's programs run on {', '.join(_HOSTS)}, this machine is {name}",
            hint="use the real mirrors (SOURCES=upstream) here",
        ) from None
