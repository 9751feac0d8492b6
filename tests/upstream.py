"""Upstream's hosts in miniature, on loopback: python.org's folders, Alpine's CDN, Docker Hub with its tokens.

Paths are the real ones (/ftp/python/3.14.6/…, /alpine/v3.22/…, /v2/library/alpine/…, /token), so that one server
answers for every host, whether it is asked by its address or, through a proxy, by the real names.
"""

import base64
import gzip
import hashlib
import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
TOKEN = "anonymous-token"


@dataclass(kw_only=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def basic(known: str) -> str:
    """The header for `user:password`."""
    return "Basic " + base64.b64encode(known.encode()).decode()


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@dataclass(kw_only=True)
class Upstream:
    """What is served: `files` by path, images by repository. `asked` are the paths, in the order of the requests.

    `altered` maps a path to what is sent in place of the right bytes; `guarded` a path's beginning to the
    `user:password` that it takes to get what is below it.
    """

    files: dict[str, bytes | Path] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)  # repository -> tag -> digest
    blobs: dict[str, bytes | Path] = field(default_factory=dict)  # digest -> manifest, configuration or layer
    kinds: dict[str, str] = field(default_factory=dict)  # digest -> media type, of manifests
    altered: dict[str, bytes] = field(default_factory=dict)
    guarded: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    realm: str = "https://auth.docker.io/token"
    private: bool = True  # a token is wanted, as Docker Hub does
    # in every image: an engine remembers by digest what it got, spoilt or not, from one run of the tests to the next
    author: str = field(default_factory=lambda: uuid.uuid4().hex)

    def python(self, version: str, content: bytes | Path, folder: str = "", suffix: str = "tar.xz") -> None:
        """A release of CPython."""
        self.files[f"/ftp/python/{folder or version}/Python-{version}.{suffix}"] = content

    def put(self, content: bytes, kind: str = "") -> str:
        """A blob or, with a media type, a manifest; its digest."""
        digest = digest_of(content)
        self.blobs[digest] = content
        if kind:
            self.kinds[digest] = kind
        return digest

    def image(self, repository: str, tag: str, platforms: Mapping[str, Sequence[bytes]]) -> str:
        """A multi-architecture image of gzipped layers, by Docker platform; the index's digest."""
        entries = []
        for platform, layers in platforms.items():
            manifest = self._manifest(platform, layers)
            system, architecture, *variant = platform.split("/")
            stated = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
            size = len(bytes_of(self.blobs[manifest]))
            entries.append({"mediaType": MANIFEST, "digest": manifest, "size": size, "platform": stated})
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        digest = self.put(json.dumps(document).encode(), INDEX)
        self.tags.setdefault(repository, {})[tag] = digest
        return digest

    def _manifest(self, platform: str, layers: Sequence[bytes]) -> str:
        system, architecture, *_ = platform.split("/")
        diffs = [digest_of(gzip.decompress(layer)) for layer in layers]
        config = {
            "os": system,
            "architecture": architecture,
            "author": self.author,
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diffs},
        }
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._descriptor(json.dumps(config).encode(), CONFIG),
            "layers": [self._descriptor(layer, LAYER) for layer in layers],
        }
        return self.put(json.dumps(document).encode(), MANIFEST)

    def _descriptor(self, content: bytes, kind: str) -> dict[str, object]:
        return {"mediaType": kind, "digest": self.put(content), "size": len(content)}

    def reply(self, path: str, headers: Mapping[str, str]) -> Reply:
        self.asked.append(path)
        path = urlsplit(path).path
        if path in self.altered:
            return Reply(body=self.altered[path], headers=self._kind(path))
        for begin, known in self.guarded.items():
            if path.startswith(begin) and headers.get("Authorization") != basic(known):
                return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="mirror"'})
        if path == "/token":
            return Reply(body=json.dumps({"token": TOKEN}).encode())
        if path.startswith("/v2/"):
            return self._registry(path, headers)
        if path in self.files:
            return Reply(body=bytes_of(self.files[path]))
        return self._listing(path)

    def _kind(self, path: str) -> dict[str, str]:
        kind = self.kinds.get(path.rpartition("/")[2])
        return {"Content-Type": kind} if kind else {}

    def _registry(self, path: str, headers: Mapping[str, str]) -> Reply:
        if self.private and headers.get("Authorization") != f"Bearer {TOKEN}":
            asked = f'Bearer realm="{self.realm}",service="registry.docker.io"'
            return Reply(status=401, body=b"{}", headers={"WWW-Authenticate": asked})
        repository, _, rest = path.removeprefix("/v2/").rpartition("/manifests/")
        if not repository:
            repository, _, rest = path.removeprefix("/v2/").rpartition("/blobs/")
        if path.endswith("/tags/list"):
            repository = path.removeprefix("/v2/").removesuffix("/tags/list")
            names = sorted(self.tags.get(repository, {}))
            return Reply(body=json.dumps({"name": repository, "tags": names}).encode())
        digest = self.tags.get(repository, {}).get(rest, rest)
        if digest not in self.blobs:
            return Reply(status=404, body=b"{}")
        kind = self.kinds.get(digest, "application/octet-stream")
        return Reply(body=bytes_of(self.blobs[digest]), headers={"Content-Type": kind})

    def _listing(self, path: str) -> Reply:
        """A folder as python.org shows it."""
        if not path.endswith("/"):
            return Reply(status=404)
        below = [name.removeprefix(path) for name in self.files if name.startswith(path)]
        inside = sorted({name.split("/")[0] + "/" * ("/" in name) for name in below})
        if not inside:
            return Reply(status=404)
        rows = "".join(f'<a href="{name}">{name}</a>  22-Nov-2026 10:00  -\n' for name in inside)
        head = f"<html><head><title>Index of {path}</title></head><body><pre>"
        return Reply(body=f'{head}<a href="../">../</a>\n{rows}</pre></body></html>'.encode())


def bytes_of(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


@contextmanager
def on_loopback(upstream: Upstream) -> Iterator[str]:
    """Serve over plain HTTP until the block ends: host:port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self, upstream.reply(self.path, dict(self.headers)))

        do_HEAD = do_GET  # noqa: N815 - http.server's own name

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as host:
        upstream.realm = f"http://{host}/token"
        yield host


def answer(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    """Send a reply as an HTTP/1.1 server does, to HEAD without its body."""
    handler.send_response(reply.status)
    for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(reply.body)


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A threaded server on a free port of loopback: host:port."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # clients that leave in the middle

    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
