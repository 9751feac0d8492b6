"""A registry's manifests, asked over its API (OCI distribution specification 1.1): is it there, which digest.

The engine pushes; this looks at the result from outside, with the same credentials (docker's configuration).
"""

import base64
import hashlib
import ipaddress
import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from musllinux import web
from musllinux.errors import FactoryError, UsageError

TRIES = 4  # of a request that meets a busy or broken server; waits 0, 1, 2, 4 s, or what the server asks for
TIMEOUT = 30.0  # seconds without an answer
MOST = 256 * 2**20  # bytes of one answer: manifests have kilobytes, layers of base images some megabytes
MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_HOST = re.compile(r"^(?P<name>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?$")
_PATH = re.compile(r"^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_MOST_PAGES = 100
_HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next')
_CERTIFICATES = Path("/etc/docker/certs.d")  # where the engine looks for a registry's own authority


class RegistryError(FactoryError):
    """A registry that cannot be reached, refuses, or does not keep to its protocol."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where images go: `host` with its port, and the path before an image's name ("organisation", may be empty)."""

    host: str
    path: str

    def repository(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def reference(self, name: str, tag: str) -> str:
        return f"{self.host}/{self.repository(name)}:{tag}"

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What docker's configuration has for a registry: a name and password, or an identity token."""

    user: str = ""
    password: str = ""
    token: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest as the registry serves it; `digest` is of its bytes, computed here and compared with what it says."""

    digest: str
    media_type: str
    body: bytes

    @property
    def config(self) -> str:
        """The digest of the image's configuration, which is its id in the engine's own image store; empty for lists."""
        config = json.loads(self.body).get("config")
        return str(config.get("digest", "")) if isinstance(config, dict) else ""


@dataclass(frozen=True, kw_only=True)
class Named:
    """An image reference taken apart: `docker.io/library/alpine:3.22` or one of another registry, always with a tag."""

    host: str  # as the reference has it
    repository: str
    tag: str

    @property
    def api(self) -> str:
        """The host that answers for it: Docker Hub's has a name of its own."""
        return _HUB_API if self.host == _HUB else self.host


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One whole answer to a request."""

    url: str  # after redirections
    status: int
    reason: str
    headers: Mapping[str, str]  # names in any case
    body: bytes


class Registry(Protocol):
    """What `push` asks of a registry."""

    def manifest(self, repository: str, reference: str) -> Manifest | None: ...


def place(text: str, organisation: str = "") -> Place:
    """`quay.io/me`, `127.0.0.1:5000`, `[::1]:5000/a/b`: where to push; `organisation` where the text names no path.

    Raises UsageError, also for what docker reads differently: a name without dot or port is one on Docker Hub there.
    """
    host, _, path = text.removesuffix("/").partition("/")
    match = _HOST.match(host)
    path = path or organisation
    if match is None or (path and not _PATH.match(path)):
        raise UsageError(
            f"--registry {text!r} is not HOST[:PORT][/PATH]", hint="for example quay.io/me or 127.0.0.1:5000"
        )
    if not match["port"] and "." not in host and host != "localhost" and not host.startswith("["):
        raise UsageError(
            f"--registry {text!r}: docker takes {host!r} for a name on Docker Hub, not for a host",
            hint=f"give the host with its domain or port: {host}:443",
        )
    return Place(host=host, path=path)


def named(reference: str) -> Named:
    """A reference without digest, completed as docker does it (`alpine:3.22` is docker.io/library/alpine:3.22)."""
    host, _, path = reference.partition("/")
    if not path or not ("." in host or ":" in host or host == "localhost"):
        host, path = _HUB, reference
    if host == _HUB and "/" not in path:
        path = f"library/{path}"
    repository, _, tag = path.partition(":")
    return Named(host=host, repository=repository, tag=tag or "latest")


def is_loopback(host: str) -> bool:
    """Whether `host` (with or without port) is this machine: 127.0.0.0/8, ::1 or localhost.

    Nothing else counts, even where it resolves to one of these: it may resolve differently for the engine.
    """
    match = _HOST.match(host)
    if match is None:
        return False
    name = match["name"].strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def credentials(host: str) -> Credentials:
    """What docker's configuration (or its credential helper) has for `host`; empty where nothing."""
    from docker import auth, errors  # noqa: PLC0415

    try:
        with warnings.catch_warnings(action="ignore"):  # an absent helper warns first, then fails
            found: Mapping[str, Any] = auth.load_config().resolve_authconfig(host) or {}
    except (errors.DockerException, OSError) as error:
        raise RegistryError(
            f"docker's credentials for {host} cannot be read: {error}", hint=f"`docker login {host}` writes them anew"
        ) from error
    return Credentials(
        user=str(found.get("Username") or found.get("username") or ""),
        password=str(found.get("Password") or found.get("password") or ""),
        token=str(found.get("IdentityToken") or found.get("identitytoken") or ""),
    )


class Client:
    """A registry over HTTP. `plain`: try without TLS first, as the engine does for loopback and insecure registries."""

    def __init__(
        self, host: str, known: Credentials, *, plain: bool, backoff: float = 1.0, ca: Path | None = None
    ) -> None:
        self._host, self._known = host, known
        self._session = requests.Session()
        self._session.trust_env = not is_loopback(host)  # a proxy does not lead to loopback
        self._session.verify = _authority(host, ca)
        retry = Retry(
            total=TRIES - 1,
            connect=1,
            backoff_factor=backoff,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=("GET", "HEAD", "POST"),
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))
        self._schemes = ["http", "https"] if plain else ["https"]
        self._bearer: dict[str, str] = {}

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """The manifest of a tag or digest, or None where the registry has none.

        Its digest is the SHA-256 of the bytes received; a Docker-Content-Digest header that differs is an error.
        Raises RegistryError: unreachable, refused, still failing after four tries, answers that contradict each other.
        """
        path = f"/v2/{repository}/manifests/{reference}"
        answer = self._get(path, repository)
        if answer.status == 404:  # noqa: PLR2004
            return None
        self._expect_ok(answer, f"{repository}:{reference}")
        self._object(answer, "manifest")
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        claimed = answer.headers.get("Docker-Content-Digest", digest)
        head = self._request("HEAD", path, repository).headers.get("Docker-Content-Digest", digest)
        if {claimed, head} != {digest}:
            raise RegistryError(
                f"{self._host} contradicts itself about {repository}:{reference}: it says {claimed} and {head}, "
                f"what it serves is {digest}",
                hint="a cache between, or somebody pushes to the same tag: run this again",
            )
        return Manifest(digest=digest, media_type=answer.headers.get("Content-Type", ""), body=answer.body)

    def tags(self, repository: str) -> list[str]:
        """Every tag of a repository, page by page. Raises RegistryError."""
        found: list[str] = []
        path = f"/v2/{repository}/tags/list?n=1000"
        for _ in range(_MOST_PAGES):
            answer = self._get(path, repository)
            self._expect_ok(answer, f"the tags of {repository}")
            tags = self._object(answer, "list of tags").get("tags") or []
            if not isinstance(tags, list):
                raise RegistryError(f"registry {self._host} lists the tags of {repository} in no form there is")
            found += map(str, tags)
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return found
            path = self._path_of(following[1])
        raise RegistryError(f"registry {self._host} lists the tags of {repository} without end")

    def _path_of(self, link: str) -> str:
        """Path and query of a link to the next page, which stays on this host whatever it says."""
        try:
            parts = urlsplit(link)
        except ValueError:
            parts = urlsplit("")
        if not parts.path.startswith("/"):
            raise RegistryError(f"registry {self._host} sends for the next page to {link!r}, which is no URL")
        return f"{parts.path}?{parts.query}"

    def document(self, repository: str, reference: str) -> bytes:
        """A manifest's bytes as the registry serves them, unchecked: whoever asks knows the digest."""
        answer = self._get(f"/v2/{repository}/manifests/{reference}", repository)
        self._expect_ok(answer, f"{repository}@{reference}")
        return answer.body

    def blob(self, repository: str, digest: str) -> bytes:
        """A blob as the registry serves it, unchecked: whoever asks knows its digest. Raises RegistryError."""
        answer = self._get(f"/v2/{repository}/blobs/{digest}", repository)
        self._expect_ok(answer, f"{repository}@{digest}")
        return answer.body

    def close(self) -> None:
        self._session.close()

    def _get(self, path: str, repository: str) -> Answer:
        return self._request("GET", path, repository)

    def _request(self, method: str, path: str, repository: str) -> Answer:
        answer = self._send(method, path, self._authorization(repository))
        if answer.status == 401:  # noqa: PLR2004
            self._bearer[repository] = self._answer_to(answer.headers.get("WWW-Authenticate", ""), repository)
            answer = self._send(method, path, self._authorization(repository))
        return answer

    def _authorization(self, repository: str) -> dict[str, str]:
        value = self._bearer.get(repository)
        return {"Authorization": value} if value else {}

    def _send(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        for scheme in self._schemes:
            try:
                answer = self._exchange(method, f"{scheme}://{self._host}{path}", {"Accept": MANIFESTS, **headers})
            except (requests.RequestException, ValueError) as error:  # ValueError: led on to what is no URL
                if scheme != self._schemes[-1]:
                    continue
                raise self._unreachable(error) from error
            # A TLS server answers plain HTTP with 400.
            if answer.status == 400 and scheme != self._schemes[-1]:  # noqa: PLR2004
                continue
            self._schemes = [scheme]
            return answer
        raise AssertionError("no scheme to try")

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], **what: Any) -> Answer:
        """Send a request and read its answer, of at most MOST bytes, to the end."""
        through = web.proxies(url) if self._session.trust_env else {}
        asked = self._session.request(
            method, url, headers=dict(headers), timeout=TIMEOUT, stream=True, proxies=through, **what
        )
        with asked as came:
            body = bytearray()
            for block in came.iter_content(1 << 16):
                body += block
                if len(body) > MOST:
                    raise RegistryError(
                        f"{urlsplit(came.url).netloc} answers without end: more than {MOST} bytes",
                        hint="check the host and port: this is no registry's answer",
                    )
            return Answer(
                url=came.url, status=came.status_code, reason=came.reason, headers=came.headers, body=bytes(body)
            )

    def _unreachable(self, error: requests.RequestException | ValueError) -> RegistryError:
        if isinstance(error, requests.exceptions.SSLError):
            return RegistryError(
                f"the certificate of registry {self._host} cannot be verified",
                hint=f"put its authority into {_CERTIFICATES}/{self._host}/ca.crt",
            )
        reason = _innermost(error)
        return RegistryError(
            f"registry {self._host} cannot be reached: {reason}",
            hint="check the name, the network and the proxy; what is done stays, a rerun goes on from there",
        )

    def _expect_ok(self, answer: Answer, what: str) -> None:
        status = answer.status
        if status in (401, 403):
            raise RegistryError(
                f"registry {self._host} refuses access to {what}: {status} {answer.reason}",
                hint=f"`docker login {self._host}` with an account that may use this repository",
            )
        if status >= 500 or status == 429:  # noqa: PLR2004
            raise RegistryError(
                f"registry {self._host} fails: {status} {answer.reason} for {what}, {TRIES} times",
                hint="try again later; what is done stays, a rerun goes on from there",
            )
        if status >= 400:  # noqa: PLR2004
            raise RegistryError(f"registry {self._host} answers {status} {answer.reason} for {what}")

    def _answer_to(self, challenge: str, repository: str) -> str:
        """The Authorization header that a WWW-Authenticate header asks for, or empty where there is none to give."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            return _basic(self._known)
        asked = dict(_CHALLENGE.findall(rest))
        if kind.lower() != "bearer" or not asked.get("realm"):
            return ""
        return self._bearer_token(asked["realm"], asked.get("service", ""), f"repository:{repository}:pull")

    def _bearer_token(self, realm: str, service: str, scope: str) -> str:
        """The token flow of the distribution specification; credentials go over TLS or to loopback only."""
        try:
            parts = urlsplit(realm)
        except ValueError as error:
            raise RegistryError(f"registry {self._host} sends for a token to {realm!r}, which is no URL") from error
        if parts.scheme != "https" and not is_loopback(parts.netloc):
            raise RegistryError(f"registry {self._host} asks for credentials at {realm}, without TLS: not given")
        try:
            answer = self._ask_for_token(realm, service, scope)
        except (requests.RequestException, ValueError) as error:
            raise self._unreachable(error) from error
        self._expect_ok(answer, f"a token at {parts.netloc}")
        values = self._object(answer, "token")
        return f"Bearer {values.get('token') or values.get('access_token') or ''}"

    def _object(self, answer: Answer, what: str) -> dict[str, Any]:
        try:
            values = json.loads(answer.body)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise RegistryError(
                f"{urlsplit(answer.url).netloc} serves something else where a registry has a {what}",
                hint="check the host and port; a proxy's login page answers like this",
            )
        return values

    def _ask_for_token(self, realm: str, service: str, scope: str) -> Answer:
        asked = {"service": service, "scope": scope}
        if self._known.token:
            form = {
                **asked,
                "grant_type": "refresh_token",
                "refresh_token": self._known.token,
                "client_id": "musllinux",
            }
            return self._exchange("POST", realm, {}, data=form)
        basic = _basic(self._known)
        headers = {"Authorization": basic} if basic else {}
        return self._exchange("GET", realm, headers, params=asked)


def _basic(known: Credentials) -> str:
    if not known.user:
        return ""
    return "Basic " + base64.b64encode(f"{known.user}:{known.password}".encode()).decode()


def _authority(host: str, ca: Path | None = None) -> str | bool:
    """The certificates to trust: the engine's for this registry, else `ca`, the environment's, the default."""
    own = _CERTIFICATES / host / "ca.crt"
    if own.is_file():
        return str(own)
    if ca:
        return str(ca)
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True


def _innermost(error: BaseException) -> str:
    """The system's own words, without the layers of library around them."""
    found = error
    seen = {id(error)}
    while True:
        inner = getattr(found, "reason", None) or found.__cause__ or found.__context__
        if not inner and found.args and isinstance(found.args[0], BaseException):
            inner = found.args[0]
        if not isinstance(inner, BaseException) or id(inner) in seen:
            return str(getattr(found, "strerror", None) or found)
        seen.add(id(inner))
        found = inner
