"""What a build's steps are handed besides the context and what no layer keeps: proxies, mirrors, keys, certificates."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from musllinux import certificates, context, registry
from musllinux.model import Image

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def proxies(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The user's proxy settings, as they are spelt; they may hold a password."""
    return {name: environ[name] for name in PROXIES if name in environ}


def secrets(image: Image, proxies: Mapping[str, str], ca_bundle: Path | None) -> dict[str, bytes]:
    """What the build's steps are given and no layer keeps, by the name that images/files/build/sources.sh knows."""
    found = {"sources": context.secrets(image, proxies).encode()}
    if image.supply.apk_key:
        found["apk-key"] = Path(image.supply.apk_key).read_bytes()
    if ca_bundle:
        found["ca-bundle"] = certificates.secret(ca_bundle)
    return found


def network(image: Image, proxies: Mapping[str, str]) -> str:
    """The network mode of the build's steps: this machine's own where a mirror or proxy listens on its loopback."""
    urls = [image.supply.mirror, *(url for name, url in proxies.items() if name.lower() != "no_proxy")]
    return image.supply.network or ("host" if any(registry.is_loopback(_host(url)) for url in urls) else "")


def _host(url: str) -> str:
    """The host of a URL, or of a proxy that is written without http://."""
    try:
        return urlsplit(url if "://" in url else f"http://{url}").hostname or ""
    except ValueError:
        return ""
