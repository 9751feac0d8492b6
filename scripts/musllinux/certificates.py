"""The certificates that downloads trust: those the user's own tools are told to use, else the system's."""

import os
import re
import ssl
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from musllinux.errors import FactoryError, UsageError

# In this order; the first is OpenSSL's own, so that most programs read it.
VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# What programs need a variable of their own for: pip, and requests inside it.
_ALL = (*VARIABLES, "PIP_CERT")
_SYSTEM = (  # Debian and Alpine, Fedora, SUSE: where Go looks, too
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
)
LARGEST_SECRET = 500 * 1024  # bytes that BuildKit takes (moby/buildkit, session/secrets)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def trust(bundle: Path, environ: MutableMapping[str, str] = os.environ) -> None:
    """Make `bundle` what this process and every program that it starts trusts. Raises UsageError where it is none."""
    _checked(str(bundle), "--ca-bundle ")
    for name in _ALL:
        environ[name] = str(bundle.absolute())


def bundle(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The bundle in PEM form that downloads trust; None where the system has none.

    Raises UsageError where a variable names something that is no bundle.
    """
    for name in VARIABLES:
        if environ.get(name):
            return _checked(environ[name], f"{name}=")
    named = ssl.get_default_verify_paths().cafile
    return next((p for p in (*([Path(named)] if named else []), *_SYSTEM) if p.is_file()), None)


def certificates(path: Path) -> bytes:
    """The certificates of a PEM file alone, each once, without comments and whatever else it holds."""
    found = dict.fromkeys(_CERTIFICATE.findall(path.read_bytes()))
    return b"".join(block + b"\n" for block in found)


def secret(path: Path) -> bytes:
    """What of a bundle is handed to a build. Raises FactoryError where that is more than BuildKit takes."""
    content = certificates(path)
    if len(content) > LARGEST_SECRET:
        raise FactoryError(
            f"{path}: {len(content) >> 10} KiB of certificates, a build takes {LARGEST_SECRET >> 10}",
            hint="--ca-bundle names a bundle with what the sources need alone",
        )
    return content


def _checked(named: str, how: str) -> Path:
    path = Path(named)
    if not path.is_file():
        raise UsageError(f"{how}{named}: no such file", hint="name a bundle in PEM form, or leave it out")
    if not certificates(path):
        raise UsageError(f"{how}{named}: no certificates in PEM form", hint="`openssl x509 -inform der` converts one")
    return path.absolute()
