"""Credentials in URLs never leave the program: every message, listing and log goes through here."""

import base64
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
# Up to the last @, not the first: a password may hold an unescaped one, and hiding too much is the safe mistake.
_USERINFO = re.compile(r"(?<=://)\S*@")
_USERINFO_OF_VALUE = re.compile(r"(?<=://).*@", re.DOTALL)
# The same without a scheme, as where a host alone is asked for; a digest (alpine:3.22@sha256:…) is none.
_USERINFO_OF_HOST = re.compile(r"^[^/@:\s]+:.*@(?=[A-Za-z0-9.-]+(?::\d+)?(?:/|$))", re.DOTALL)


def redact(text: str) -> str:
    """The text with `user:password@` of every URL in it replaced by `***@`."""
    return _USERINFO.sub(f"{HIDDEN}@", text)


def redact_value(value: str) -> str:
    """One value alone, where even a URL with a blank in its password is understood, or one without a scheme."""
    return _USERINFO_OF_HOST.sub(f"{HIDDEN}@", _USERINFO_OF_VALUE.sub(f"{HIDDEN}@", value))


def hider(urls: Iterable[str]) -> Callable[[str], str]:
    """A function that hides the passwords of these URLs in a line, however a program writes them.

    As they stand in the URL, decoded, as Basic authorization, and as user information of any URL.
    """
    words = {word for url in urls for word in _secret_words(url)}
    if not words:
        return redact
    found = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))

    def hide(line: str) -> str:
        return redact(found.sub(HIDDEN, line))

    return hide


def _secret_words(url: str) -> Iterable[str]:
    try:
        user, colon, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    except ValueError:  # no URL
        return
    if colon and password:
        plain = unquote(password)
        yield from (password, plain)
        yield base64.b64encode(f"{unquote(user)}:{plain}".encode()).decode()
