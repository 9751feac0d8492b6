"""This machine's way to a package index, handed to pip in a container: index, proxy, CA bundle from pip's own settings.

Everything goes into one mounted configuration file, so that no credential of an index URL appears in an argument, a
variable or a container's description.
"""

import ipaddress
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from musllinux.pipsettings import settings
from musllinux.run import CommandError, run
from musllinux.smoke import mounted
from musllinux.smoke.containers import Mount

CONF = "/etc/pip.conf"  # pip reads it for every user; it is not in the image
BUNDLE = "/etc/ssl/musllinux-smoke-ca.pem"
TAKEN = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
BUNDLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def bundle(found: Mapping[str, str]) -> Path | None:
    """The CA bundle that this machine's clients are told to trust, if any: where a proxy inspects TLS it matters."""
    for value in (found.get("cert"), *(os.environ.get(name) for name in BUNDLES)):
        if value and Path(value).is_file():
            return Path(value).resolve()
    return None


def proxy(found: Mapping[str, str]) -> str:
    return next(
        (v for v in (found.get("proxy"), os.environ.get("https_proxy"), os.environ.get("HTTPS_PROXY")) if v), ""
    )


def network(found: Mapping[str, str] | None = None) -> str:
    """The engine's network for containers that use the index: `host` where index or proxy are on loopback."""
    found = settings() if found is None else found
    urls = [*found.get("index-url", "").split(), *found.get("extra-index-url", "").split(), proxy(found)]
    return "host" if any(map(_local, urls)) else ""


def _local(url: str) -> bool:
    host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def text(found: Mapping[str, str], *, with_bundle: bool) -> str:
    """The configuration file for a container."""
    values = {name: found[name] for name in TAKEN if found.get(name)}
    if proxy(found):
        values["proxy"] = proxy(found)
    if with_bundle:
        values["cert"] = BUNDLE
    lines = [f"{name} = {' '.join(value.split())}" for name, value in values.items()]
    return "\n".join(["[global]", *lines, ""])


@contextmanager
def prepared() -> Iterator[list[Mount]]:
    """Mounts that make pip in a container reach what pip reaches here. They last as long as the block."""
    found = settings()
    ca = bundle(found)
    contents = {"pip.conf": text(found, with_bundle=bool(ca)).encode()}
    if ca:
        # a copy: the engine mounts it as root wherever it lies, and it must not change under a running build
        contents["ca.pem"] = ca.read_bytes()
    targets = {"pip.conf": CONF, "ca.pem": BUNDLE}
    with mounted.held(contents) as paths:
        yield [Mount(source=path, target=targets[name]) for name, path in paths.items()]


def reachable() -> str:
    """Empty, or why pip on this machine gets nothing from its index (its last words)."""
    with tempfile.TemporaryDirectory(prefix="musllinux-pip-") as folder:
        argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", f"--dest={folder}"]
        try:
            run([*argv, "--retries=1", "--timeout=20", "setuptools"], env={"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        except CommandError as error:
            return error.tail[-1] if error.tail else error.message
    return ""
