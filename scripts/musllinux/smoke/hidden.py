"""What no record, log or screen of a smoke test may show: passwords of this run's sources, proxies, index and registry.

A check says what a program or a library said, and those do not all hide what was in a URL.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from musllinux import pipsettings
from musllinux.errors import UsageError
from musllinux.model import Image
from musllinux.redact import hider as hiding
from musllinux.smoke import cratesconfig


def hider(image: Image, environ: Mapping[str, str] = os.environ) -> Callable[[str], str]:
    """A function that hides them in a text; see `redact.hider`. Reads pip's and cargo's settings once."""
    supply = image.supply
    proxies = [value for name, value in environ.items() if name.lower().endswith("_proxy")]
    indexes = [url for value in pipsettings.settings().values() for url in value.split()]
    cargo: Mapping[str, Any] = {}
    with suppress(UsageError):  # the checks that need the file say what is wrong with it
        cargo = cratesconfig.settings()
    told = dict(_texts(cargo))
    tokens = [value for name, value in told.items() if name[-1] == "token"]
    return hiding([supply.mirror, supply.python, supply.crates, *proxies, *indexes, *told.values()], tokens)


def _texts(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in nested tables, with the names that lead to it."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _texts(value, (*path, name))
        elif isinstance(value, str):
            yield (*path, name), value
