"""Files and pages over HTTP, with the user's proxy and certificates; every failure is one line with its remedy.

Proxies come from the environment (http_proxy, https_proxy, no_proxy in either spelling), credentials from URLs.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from musllinux.errors import FactoryError
from musllinux.redact import redact

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 20
TIMEOUT = (15, 60)  # seconds to connect, seconds without a byte
LARGEST_PAGE = 16 << 20  # bytes; listings and sums are far smaller
Result = TypeVar("Result")
WAITS = (1.0, 3.0)  # seconds before a download is tried again
NOT_FOUND, SERVER_FAILS = 404, 500


class TransientError(FactoryError):
    """A download that may work the next time: cut off, timed out, a server that fails."""


def save(url: str, part: Path, ca: Path | None) -> None:
    """Write what is at `url` to `part`. `ca`: the certificates to trust, in PEM form; None: requests' own.

    Raises FactoryError where it cannot be had, after three tries where another may help; OSError where it cannot be
    written.
    """
    _insist(lambda: _save(url, part, ca))


def page(url: str, ca: Path | None) -> bytes | None:
    """What is at `url`, None where the server has nothing there. Raises FactoryError, as `save`."""
    return _insist(lambda: _page(url, ca))


def head(url: str, ca: Path | None, patience: tuple[float, float]) -> tuple[int, str]:
    """The status that a server answers with, and its Date header; asked once. Raises FactoryError where it does not."""
    with _answer(url, ca, method="HEAD", patience=patience) as answer:
        return answer.status_code, answer.headers.get("Date", "")


def _insist(once: Callable[[], Result]) -> Result:
    for wait in WAITS:
        try:
            return once()
        except TransientError:
            time.sleep(wait)
    return once()


def _save(url: str, part: Path, ca: Path | None) -> None:
    with _answer(url, ca) as answer:
        if not answer.ok:
            raise _refused(url, answer.status_code)
        with part.open("wb") as out:
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                out.write(chunk)


def _page(url: str, ca: Path | None) -> bytes | None:
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
def _answer(
    url: str, ca: Path | None, *, method: str = "GET", patience: tuple[float, float] | None = None
) -> Iterator["requests.Response"]:
    import requests  # noqa: PLC0415 - slow to import, needed only here
    import urllib3  # noqa: PLC0415

    # The locked sum is that of the file as it lies there: no compression asked for, none undone that a server claims.
    plain = {"Accept-Encoding": "identity"}
    try:
        with requests.request(
            method,
            url,
            stream=True,
            timeout=patience or TIMEOUT,
            verify=str(ca) if ca else True,
            headers=plain,
            proxies=proxies(url),
            allow_redirects=True,
        ) as answer:
            yield answer
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        # ValueError: requests' own, of a redirect to what is no URL
        raise _unreachable(url, error, patience or TIMEOUT) from error


def proxies(url: str) -> dict[str, str]:
    """The user's proxies for this URL, for requests, which takes a user or host for the scheme where there is none."""
    import requests  # noqa: PLC0415

    found = requests.utils.get_environ_proxies(url)
    return {scheme: proxy if "://" in proxy else f"http://{proxy}" for scheme, proxy in found.items()}


def _refused(url: str, status: int) -> FactoryError:
    kind = TransientError if status >= SERVER_FAILS else FactoryError
    return kind(
        f"{redact(url)}: the server answered {status}",
        hint="is this version still there? a mirror must have all of upstream's files",
    )


def _unreachable(url: str, error: Exception, patience: tuple[float, float]) -> FactoryError:
    import requests  # noqa: PLC0415
    import urllib3  # noqa: PLC0415

    hint = "check the network, proxy and mirror, or try SOURCES=standin"
    kind: type[FactoryError] = FactoryError
    match error:
        case requests.exceptions.SSLError():
            what, hint = _distrusted(error)
        case requests.exceptions.ProxyError():
            what, hint = _proxy(error)
        case requests.Timeout() | urllib3.exceptions.TimeoutError():
            kind = TransientError
            what = f"no answer in time ({patience[0]:g} s to connect, {patience[1]:g} s for more data)"
        case urllib3.exceptions.HTTPError() | requests.exceptions.ChunkedEncodingError():
            kind, what = TransientError, "the connection broke off"
        case _:
            what = "not reachable"
    return kind(f"{redact(url)}: {what}", hint=hint)


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
        return (
            "the proxy wants a user and password",
            "https_proxy takes them before the proxy's host, percent-encoded, with an @ after them",
        )
    return "the proxy does not let it through", "check http_proxy, https_proxy and no_proxy"
