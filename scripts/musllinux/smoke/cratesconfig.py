"""How this machine reaches a registry of crates, handed to cargo in a container: registry, proxy, CA from its settings.

Beside pip's (see `pipconfig`): what builds with setuptools-rust or maturin needs both.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from musllinux import pipsettings
from musllinux.errors import UsageError
from musllinux.smoke import mounted, pipconfig
from musllinux.smoke.containers import Mount

CONFIG = "/root/.cargo/config.toml"  # in a container; the image has no file of that name
TAKEN = ("source", "registries", "registry", "http", "net")  # what says where crates come from, and how
# What cargo says where it cannot reach its registry, in one of its ways (cargo, src/cargo/sources/registry)
UNREACHABLE = re.compile(
    r"failed to (download|get successful HTTP response|query replaced source|fetch)|[Cc]ould(n't| not) resolve host"
    r"|download of .* failed|spurious network error|attempting to make an HTTP request"
)


def settings() -> dict[str, Any]:
    """The sections of cargo's configuration on this machine that say where crates come from.

    Raises UsageError where the file is not TOML.
    """
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    path = next((file for file in (home / "config.toml", home / "config") if file.is_file()), None)
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", hint="cargo cannot read it either: mend it") from error
    return {name: found[name] for name in TAKEN if name in found}


def text(found: Mapping[str, Any], *, with_bundle: bool, proxy: str = "") -> str:
    """The configuration for a container, a line for each value."""
    http = dict(found.get("http") or {})
    if with_bundle:
        http["cainfo"] = pipconfig.BUNDLE
    if proxy:
        http.setdefault("proxy", proxy)
    lines = _lines({**found, "http": http})
    return "".join(f"{line}\n" for line in lines)


def _lines(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Dotted keys. Strings, numbers, truths and lists of them are written in TOML as in JSON."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, name))
        else:
            yield f"{'.'.join(json.dumps(part) for part in (*path, name))} = {json.dumps(value)}"


def network(found: Mapping[str, Any] | None = None) -> str:
    """The engine's network for containers that use index and registry: `host` where one of them is on loopback."""
    shown = text(settings() if found is None else found, with_bundle=False)
    hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[^\"']+", shown)}
    return "host" if hosts & {"localhost", "127.0.0.1", "::1"} else pipconfig.network()


@contextmanager
def prepared() -> Iterator[list[Mount]]:
    """Mounts that make pip and cargo in a container reach what they reach here. They last as long as the block."""
    found = pipsettings.settings()
    written = text(settings(), with_bundle=bool(pipconfig.bundle(found)), proxy=pipconfig.proxy(found))
    with pipconfig.prepared() as mounts, mounted.held({"config.toml": written.encode()}) as paths:
        yield [*mounts, Mount(source=paths["config.toml"], target=CONFIG)]
