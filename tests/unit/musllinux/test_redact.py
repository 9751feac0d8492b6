"""redact: whatever form a program gives a password, a log does not have it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux.redact import hider, redact, redact_value


def test_passwords_are_hidden_as_written_decoded_and_in_basic_authorization() -> None:
    hide = hider(["https://reader:p%40ss@mirror.example/alpine", "http://me:word@proxy:1", "https://no.secret/"])
    basic = base64.b64encode(b"reader:p@ss").decode()
    for line in ("fetch https://reader:p%40ss@mirror", "says p@ss", f"Authorization: Basic {basic}", "x=word;"):
        shown = hide(line)
        assert "***" in shown
        assert not any(secret in shown for secret in ("p%40ss", "p@ss", basic, "word"))


def test_lines_without_secrets_stay_as_they_are() -> None:
    for hide in (hider([]), hider(["https://mirror.example/"]), hider(["http://[broken"])):
        assert (
            hide("fetch https://mirror.example/alpine/v3.22/main") == "fetch https://mirror.example/alpine/v3.22/main"
        )


@given(st.text(), st.lists(st.text(), max_size=4))
def test_nothing_is_too_strange_to_be_cleaned(line: str, urls: list[str]) -> None:
    hider(urls)(line)
    redact(line)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("me:pa/ss@registry.example.com", "***@registry.example.com"),
        ("me:p@ss@registry.example.com:5000/path", "***@registry.example.com:5000/path"),
        ("registry.example.com:5000", "registry.example.com:5000"),
        (f"docker.io/library/alpine:3.22@sha256:{'a' * 64}", f"docker.io/library/alpine:3.22@sha256:{'a' * 64}"),
    ],
)
def test_a_password_where_a_host_alone_is_asked_for_is_hidden(value: str, shown: str) -> None:
    assert redact_value(value) == shown
