"""A registry's answers are somebody else's text: whatever they are, there is a manifest, none, or one clear error."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from musllinux.registry import Client, Credentials, Manifest, RegistryError

DEEP = b'{"config":' + b"[" * 100_000


class Canned(BaseAdapter):
    """Answers of a list, one after the other, then the first ones again."""

    def __init__(self, answers: list[tuple[int, dict[str, str], bytes]]) -> None:
        super().__init__()
        self._answers, self._asked = answers, 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        status, headers, body = self._answers[self._asked % len(self._answers)]
        self._asked += 1
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = status, str(request.url), request
        answer.headers.update(headers)
        answer.raw = HTTPResponse(BytesIO(body), preload_content=False)
        return answer

    def close(self) -> None:
        pass


@contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[Client]:
    client = Client("registry.example.com", Credentials(user="me", password="secret"), plain=False, backoff=0)
    client._session.mount("https://", Canned(list(answers)))
    try:
        yield client
    finally:
        client.close()


def ask(*answers: tuple[int, dict[str, str], bytes]) -> Manifest | None:
    with answering(*answers) as client:
        return client.manifest("me/image", "latest")


def list_tags(*answers: tuple[int, dict[str, str], bytes]) -> list[str]:
    with answering(*answers) as client:
        return client.tags("me/image")


@contextmanager
def one_line() -> Iterator[None]:
    """Inside, the only error is RegistryError, of one line."""
    try:
        yield
    except RegistryError as error:
        assert error.message
        assert "\n" not in error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["config", "digest", "token", "tags"]), inner)
    ),
    max_leaves=8,
)
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "WWW-Authenticate": WORDS
        | st.builds('Bearer realm="{}",service="{}"'.format, WORDS | WORDS.map("https://{}".format), WORDS),
        "Docker-Content-Digest": WORDS,
        "Content-Type": WORDS,
        "Location": WORDS | WORDS.map("https://{}".format),
        "Link": WORDS | WORDS.map('<{}>; rel="next"'.format),
    },
)
STATUS = st.sampled_from([200, 200, 200, 201, 301, 307, 400, 401, 401, 403, 404, 418, 429, 500])
BODY = st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode())


@settings(deadline=None)
@given(st.lists(st.tuples(STATUS, HEADERS, BODY), min_size=1, max_size=4))
def test_whatever_a_registry_answers_is_understood_or_one_line(
    answers: list[tuple[int, dict[str, str], bytes]],
) -> None:
    with one_line():
        found = ask(*answers)
        assert found is None or isinstance(found.config, str)
    with one_line():
        assert all(isinstance(tag, str) for tag in list_tags(*answers))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, DEEP),
        ({"WWW-Authenticate": 'Bearer realm="https://["'}, b"{}"),
        ({"WWW-Authenticate": 'Bearer realm="https://a:b:c/x"'}, b"{}"),
        ({"Location": "https://["}, b"{}"),
    ],
)
def test_answers_that_only_a_hostile_registry_gives_are_one_line(headers: Mapping[str, str], body: bytes) -> None:
    status = 401 if "WWW-Authenticate" in headers else 307 if "Location" in headers else 200
    with pytest.raises(RegistryError):
        ask((status, dict(headers), body))


def test_a_token_with_a_line_break_is_no_second_header() -> None:
    token = json.dumps({"token": "x\r\nX-Injected: 1"}).encode()
    challenge = {"WWW-Authenticate": 'Bearer realm="https://auth.example.com/token"'}
    with pytest.raises(RegistryError):
        ask((401, challenge, b"{}"), (200, {}, token), (200, {}, b"{}"))


@pytest.mark.parametrize("tags", [1, "abc", {"a": 1}, True])
def test_tags_that_are_no_list_are_one_line(tags: object) -> None:
    with pytest.raises(RegistryError, match="in no form there is"):
        list_tags((200, {}, json.dumps({"tags": tags}).encode()))


@pytest.mark.parametrize("link", ["https://[", ".evil.example.com/v2/", ""])
def test_a_link_to_the_next_page_cannot_lead_elsewhere(link: str) -> None:
    with pytest.raises(RegistryError):
        list_tags((200, {"Link": f'<{link or " "}>; rel="next"'}, b'{"tags": []}'), (200, {}, b'{"tags": ["stolen"]}'))
