"""Credentials in URLs never leave the program: every message, listing and log goes through here."""

import base64
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote

HIDDEN = "***"
# Up to the last @, not the first: a password may hold an unescaped one, and hiding too much is the safe mistake.
_USERINFO = re.compile(r"(?<=://)\S*@")
_USERINFO_OF_VALUE = re.compile(r"(?<=://).*@", re.DOTALL)
# The same without a scheme, as where a host alone is asked for; a digest (alpine:3.22@sha256:…) is none.
_USERINFO_OF_HOST = re.compile(r"^[^/@:\s]+:.*@(?=[A-Za-z0-9.-]+(?::\d+)?(?:/|$))", re.DOTALL)
# User and password of a URL, or of what is written without a scheme. Where nobody escaped a / the password may go on to
# the last @ of all; where the path has an @ it does not. Both count. (A scheme is no user: git@host has no password.)
_KNOWN = tuple(re.compile(rf"(?:[^/@:]*://)?([^/@:]*):(?!//)({rest}*)@", re.DOTALL) for rest in (r"[^/?#]", "."))


def redact(text: str) -> str:
    """The text with `user:password@` of every URL in it replaced by `***@`."""
    return _USERINFO.sub(f"{HIDDEN}@", text)


def redact_value(value: str) -> str:
    """One value alone, where even a URL with a blank in its password is understood, or one without a scheme."""
    return _USERINFO_OF_HOST.sub(f"{HIDDEN}@", _USERINFO_OF_VALUE.sub(f"{HIDDEN}@", value))


def hider(urls: Iterable[str], words: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that hides the passwords of these URLs, and these words, in a text, however a program writes them.

    As they stand in the URL, decoded, escaped anew, as Basic authorization, and as user information of any URL. A proxy
    or host that is written without http:// counts as a URL.
    """
    secret = {form for url in urls for form in _secret_words(url)} | {form for word in words for form in _forms(word)}
    secret.discard("")
    if not secret:
        return redact
    found = re.compile("|".join(re.escape(word) for word in sorted(secret, key=len, reverse=True)))

    def hide(line: str) -> str:
        return redact(found.sub(HIDDEN, line))

    return hide


def _secret_words(url: str) -> Iterable[str]:
    for pattern in _KNOWN:
        if found := pattern.match(url):
            user, password = found.groups()
            yield from _forms(password)
            yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def _forms(password: str) -> Iterable[str]:
    """As it is written, and as programs and Python's own messages write it."""
    plain = unquote(password)
    yield from (password, plain, quote(plain, safe=""), repr(plain)[1:-1])
