"""redact: whatever form a program gives a password, a log does not have it."""

import base64
from urllib.parse import quote

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


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="%"), max_size=20)


@given(WORDS.filter(lambda user: not set(user) & set("/@:")), WORDS, st.sampled_from(["", "http://", "https://"]))
def test_a_password_is_hidden_escaped_or_not_and_where_a_proxy_is_written_without_a_scheme(
    user: str, password: str, scheme: str
) -> None:
    secret = f"<{password}>"
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
    for known in (f"{user}:{secret}", f"{quote(user, safe='')}:{quote(secret, safe='')}"):
        hide = hider([f"{scheme}{known}@proxy.example:3128"])
        assert hide(f"says {secret}, {quote(secret, safe='')}; Basic {basic}.") == "says ***, ***; Basic ***."


def test_an_at_in_the_path_does_not_bring_the_password_to_light() -> None:
    assert hider(["https://reader:s3cret@mirror.example/alpine@v3"])("says s3cret") == "says ***"


def test_a_password_is_hidden_as_others_escape_it() -> None:
    hide = hider(["me:p@ss\\w@proxy:3128"])
    assert hide(f"{KeyError('p@ss' + chr(92) + 'w')!r}, p%40ss%5Cw") == "KeyError('***'), ***"


@pytest.mark.parametrize("value", ["proxy:3128", "localhost,.example:80", "git@host:3128"])
def test_what_is_no_password_is_hidden_nowhere(value: str) -> None:
    line = "3128 of 80 at proxy:3128 for git, https://git.example"
    assert hider([value, f"https://{value}"])(line) == line


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
