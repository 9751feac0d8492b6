"""Credentials in URLs never leave the program: every message and every listing goes through here."""

import re

HIDDEN = "***"
# Up to the last @, not the first: a password may hold an unescaped one, and hiding too much is the safe mistake.
_USERINFO = re.compile(r"(?<=://)\S*@")
_USERINFO_OF_VALUE = re.compile(r"(?<=://).*@", re.DOTALL)


def redact(text: str) -> str:
    """The text with `user:password@` of every URL in it replaced by `***@`."""
    return _USERINFO.sub(f"{HIDDEN}@", text)


def redact_value(value: str) -> str:
    """One value alone, where even a URL with a blank in its password is understood."""
    return _USERINFO_OF_VALUE.sub(f"{HIDDEN}@", value)
