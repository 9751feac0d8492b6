"""Files and pages over HTTP, with the user's proxy and certificates; every failure is one line with its remedy.

Proxies come from the environment (http_proxy, https_proxy, no_proxy in either spelling), credentials from URLs.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from musllinux.errors import FactoryError
from musllinux.redact import redact

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 20
TIMEOUT = (15, 60)  # seconds to connect, seconds without a byte
LARGEST_PAGE = 16 << 20  # bytes; listings and sums are far smaller
NOT_FOUND = 404


def save(url: str, part: Path, ca: Path | None) -> None:
    """Write what is at `url` to `part`. `ca`: the certificates to trust, in PEM form; None: requests' own.

    Raises FactoryError where it cannot be had, OSError where it cannot be written.
    """
    with _answer(url, ca) as answer:
        if not answer.ok:
            raise _refused(url, answer.status_code)
        with part.open("wb") as out:
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                out.write(chunk)


def page(url: str, ca: Path | None) -> bytes | None:
    """What is at `url`, None where the server has nothing there. Raises FactoryError."""
    with _answer(url, ca) as answer:
        if answer.status_code == NOT_FOUND:
            return None
        if not answer.ok:
            raise _refused(url, answer.status_code)
        found = bytearray()
        for chunk in answer.raw.stream(CHUNK, decode_content=True):
            found += chunk
            if len(found) > LARGEST_PAGE:
                raise FactoryError(f"{redact(url)}: more than {LARGEST_PAGE >> 20} MiB where a page was expected")
        return bytes(found)


@contextlib.contextmanager
def _answer(url: str, ca: Path | None) -> Iterator["requests.Response"]:
    import requests  # noqa: PLC0415 - slow to import, needed only here
    import urllib3  # noqa: PLC0415

    # The locked sum is that of the file as it lies there: no compression asked for, none undone that a server claims.
    plain = {"Accept-Encoding": "identity"}
    try:
        with requests.get(url, stream=True, timeout=TIMEOUT, verify=str(ca) if ca else True, headers=plain) as answer:
            yield answer
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _unreachable(url, error) from error


def _refused(url: str, status: int) -> FactoryError:
    return FactoryError(
        f"{redact(url)}: the server answered {status}",
        hint="is this version still there? a mirror must have all of upstream's files",
    )


def _unreachable(url: str, error: Exception) -> FactoryError:
    import requests  # noqa: PLC0415
    import urllib3  # noqa: PLC0415

    hint = "check the network, proxy and mirror, or try SOURCES=standin"
    match error:
        case requests.exceptions.SSLError():
            what, hint = _distrusted(error)
        case requests.exceptions.ProxyError():
            what, hint = _proxy(error)
        case requests.Timeout() | urllib3.exceptions.TimeoutError():
            what = f"no answer in time ({TIMEOUT[0]:g} s to connect, {TIMEOUT[1]:g} s for more data)"
        case urllib3.exceptions.HTTPError() | requests.exceptions.ChunkedEncodingError():
            what = "the connection broke off"
        case _:
            what = "not reachable"
    return FactoryError(f"{redact(url)}: {what}", hint=hint)


def _distrusted(error: Exception) -> tuple[str, str]:
    """What to say of a certificate: one that is not valid yet (or no more) is often the clock's fault."""
    if "expired" in str(error) or "not yet valid" in str(error):
        return "its certificate is not valid now", "is this machine's clock right? `date` shows it"
    return (
        "its certificate is not trusted",
        "--ca-bundle or SSL_CERT_FILE names a bundle with your own CA",
    )


def _proxy(error: Exception) -> tuple[str, str]:
    if "407" in str(error):
        return "the proxy wants a user and password", "https_proxy=http://user:password@proxy:port (percent-encoded)"
    return "the proxy does not let it through", "check http_proxy, https_proxy and no_proxy"
