import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux import registry
from musllinux.errors import UsageError
from musllinux.registry import Client, Credentials, RegistryError, is_loopback, place

BODY = json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:c0"}}).encode()
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


@dataclass
class Answer:
    status: int = 200
    body: bytes = BODY
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    method: str
    path: str
    authorization: str
    body: str


class Server(ThreadingHTTPServer):
    """Answers from a function and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.answer, self.asked = answer, list[Request]()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        said = self.rfile.read(length).decode()
        request = Request(self.command, self.path, self.headers.get("Authorization", ""), said)
        self.server.asked.append(request)
        answer = self.server.answer(request)
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Request], Answer]], Server]]:
    running: list[tuple[Server, threading.Thread]] = []

    def start(answer: Callable[[Request], Answer]) -> Server:
        server = Server(answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


Serve = Callable[[Callable[[Request], Answer]], Server]


def ask(server: Server, known: Credentials = Credentials()) -> registry.Manifest | None:  # noqa: B008 - frozen
    client = Client(server.host, known, plain=True, backoff=0.001)
    try:
        return client.manifest("me/image", "2026.11.22-1")
    finally:
        client.close()


def test_the_digest_is_of_the_bytes_received(serve: Serve) -> None:
    found = ask(serve(lambda _: Answer(headers={"Docker-Content-Digest": DIGEST, "Content-Type": "x/y"})))
    assert found is not None
    assert (found.digest, found.media_type, found.config) == (DIGEST, "x/y", "sha256:c0")


def test_a_tag_that_is_not_there_is_no_error(serve: Serve) -> None:
    assert ask(serve(lambda _: Answer(404, b'{"errors": []}'))) is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_registry_that_claims_another_digest_than_it_serves_is_not_believed(serve: Serve, method: str) -> None:
    wrong = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
    server = serve(lambda request: Answer(headers=wrong if request.method == method else {}))
    with pytest.raises(RegistryError, match=r"contradicts itself about me/image:2026\.11\.22-1"):
        ask(server)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(serve: Serve, status: int) -> None:
    count = iter(range(100))
    found = ask(serve(lambda _: Answer(status) if next(count) < 2 else Answer()))
    assert found is not None
    assert found.digest == DIGEST


def test_a_broken_registry_is_named_after_four_tries(serve: Serve) -> None:
    server = serve(lambda _: Answer(503))
    with pytest.raises(RegistryError, match=f"registry {server.host} fails: 503 Service Unavailable") as caught:
        ask(server)
    assert len(server.asked) == registry.TRIES
    assert "try again later" in caught.value.hint


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_to_log_in_and_is_not_repeated(serve: Serve, status: int) -> None:
    server = serve(lambda _: Answer(status))
    with pytest.raises(RegistryError, match=f"refuses access to me/image:2026.11.22-1: {status}") as caught:
        ask(server)
    assert caught.value.hint.startswith(f"`docker login {server.host}`")
    assert len(server.asked) <= 2


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[1]", b"", b"\xff"])
def test_something_that_is_no_registry_is_told(serve: Serve, body: bytes) -> None:
    with pytest.raises(RegistryError, match="serves something else where a registry has a manifest"):
        ask(serve(lambda _: Answer(body=body)))


def test_an_answer_without_end_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MOST", 1 << 20)
    server = serve(lambda _: Answer(body=b"x" * (2 << 20)))
    with pytest.raises(RegistryError, match=r"answers without end: more than 1048576 bytes"):
        ask(server)


def test_nobody_listening_is_one_line_with_the_systems_reason(serve: Serve) -> None:
    server = serve(lambda _: Answer())
    host = server.host
    server.shutdown()
    server.server_close()
    client = Client(host, Credentials(), plain=True, backoff=0.001)
    with pytest.raises(RegistryError) as caught:
        client.manifest("me/image", "1")
    client.close()
    assert caught.value.message == f"registry {host} cannot be reached: Connection refused"


def test_a_registry_is_asked_through_a_proxy_written_without_http(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(lambda _: Answer())
    monkeypatch.setenv("http_proxy", f"me:s3cret@{proxy.host}")
    client = Client("registry.invalid", Credentials(), plain=True, backoff=0.001)
    found = client.manifest("me/image", "1")
    client.close()
    assert found
    assert found.digest == DIGEST
    assert {one.path for one in proxy.asked} == {"http://registry.invalid/v2/me/image/manifests/1"}


def test_a_name_that_does_not_resolve_is_one_line() -> None:
    client = Client("registry.invalid", Credentials(), plain=False, backoff=0.001)
    with pytest.raises(RegistryError, match=r"^registry registry\.invalid cannot be reached: .*$") as caught:
        client.manifest("me/image", "1")
    client.close()
    assert "\n" not in caught.value.message


def test_basic_credentials_are_given_when_asked_for(serve: Serve) -> None:
    def answer(request: Request) -> Answer:
        return Answer() if request.authorization else Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    server = serve(answer)
    assert ask(server, Credentials(user="me", password="p:w")) is not None
    assert server.asked[0].authorization == ""
    assert base64.b64decode(server.asked[1].authorization.removeprefix("Basic ")) == b"me:p:w"


def token_server(serve: Serve, field_name: str = "token") -> Server:
    def answer(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=json.dumps({field_name: "T"}).encode())
        if request.authorization == "Bearer T":
            return Answer()
        challenge = f'Bearer realm="http://{server.host}/token",service="s",scope="repository:me/image:pull"'
        return Answer(401, headers={"WWW-Authenticate": challenge})

    server = serve(answer)
    return server


@pytest.mark.parametrize("field_name", ["token", "access_token"])
def test_the_token_flow_asks_for_this_repository_with_the_credentials(serve: Serve, field_name: str) -> None:
    server = token_server(serve, field_name)
    assert ask(server, Credentials(user="me", password="pw")) is not None
    asked = next(r for r in server.asked if r.path.startswith("/token"))
    assert parse_qs(urlsplit(asked.path).query) == {"service": ["s"], "scope": ["repository:me/image:pull"]}
    assert asked.authorization.startswith("Basic ")


def test_an_identity_token_is_exchanged(serve: Serve) -> None:
    server = token_server(serve)
    assert ask(server, Credentials(token="identity")) is not None
    asked = next(r for r in server.asked if r.path.startswith("/token"))
    assert asked.method == "POST"
    assert parse_qs(asked.body)["refresh_token"] == ["identity"]
    assert "identity" not in asked.path


def test_a_wrong_token_is_a_refusal(serve: Serve) -> None:
    def answer(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(401)
        return Answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'})

    server = serve(answer)
    with pytest.raises(RegistryError, match="refuses access to a token at 127"):
        ask(server)


def test_credentials_are_not_sent_without_tls_to_another_host(serve: Serve) -> None:
    challenge = 'Bearer realm="http://tokens.example.org/",service="s"'
    server = serve(lambda _: Answer(401, headers={"WWW-Authenticate": challenge}))
    with pytest.raises(RegistryError, match=r"credentials at http://tokens\.example\.org/, without TLS: not given"):
        ask(server, Credentials(user="me", password="pw"))


def test_credentials_come_from_dockers_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    entry = {"auth": base64.b64encode(b"me:pw").decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example.org:5000": entry}}))
    assert registry.credentials("registry.example.org:5000") == Credentials(user="me", password="pw")
    assert registry.credentials("other.example.org") == Credentials()


def test_a_credential_helper_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"registry.example.org": "no-such-helper"}}))
    with pytest.raises(RegistryError, match=r"credentials for registry\.example\.org cannot be read"):
        registry.credentials("registry.example.org")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:5000", "127.8.9.10:5000", "localhost", "LOCALHOST:5000", "[::1]", "[::1]:5000"],
)
def test_these_are_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "quay.io",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "127.0.0.1@example.org",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "128.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::2]",
        "10.0.0.1:5000",
        "notlocalhost",
        "localhost:5000/evil.example.org",
        "",
    ],
)
def test_these_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@given(st.ip_addresses(v=4), st.one_of(st.none(), st.integers(1, 65535)))
def test_of_ipv4_addresses_127_8_is_loopback(address: object, port: int | None) -> None:
    host = str(address) if port is None else f"{address}:{port}"
    assert is_loopback(host) is str(address).startswith("127.")


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    is_loopback(text)
    try:
        found = place(text, "organisation")
    except UsageError as error:
        assert error.hint
    else:
        assert found.reference("image", "tag").startswith(found.host)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("quay.io", "quay.io/organisation/image:1"),
        ("quay.io/", "quay.io/organisation/image:1"),
        ("quay.io/me", "quay.io/me/image:1"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b/image:1"),
        ("localhost", "localhost/organisation/image:1"),
        ("intranet:443/x", "intranet:443/x/image:1"),
    ],
)
def test_a_registry_is_a_host_and_perhaps_a_path(text: str, reference: str) -> None:
    assert place(text, "organisation").reference("image", "1") == reference


@pytest.mark.parametrize(
    "text", ["https://quay.io", "quay.io/Me", "quay.io//x", "me@quay.io", "a b", "quay.io:port", ""]
)
def test_what_is_no_registry_is_bad_usage(text: str) -> None:
    with pytest.raises(UsageError, match="is not HOST"):
        place(text)


def test_a_bare_name_is_not_sent_to_docker_hub() -> None:
    with pytest.raises(UsageError, match="docker takes 'intranet' for a name on Docker Hub"):
        place("intranet/images")
