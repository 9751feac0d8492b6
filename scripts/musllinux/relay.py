"""The base image on loopback, for an engine on this machine: downloaded here, checked here, served by digest.

The engine would pull with its own proxy, certificates and logins, which the user of a build may not be able to set.
What the driver downloads goes through the user's, every byte is checked against the lock, and stays in the cache.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from musllinux import baseimages, engine, inputs, registry
from musllinux.inputs import Report
from musllinux.model import Base
from musllinux.registry import Client, Named

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A manifest, a configuration or a layer: its media type and where it stands in the cache, checked."""

    kind: str
    path: Path


def collect(base: Base, platforms: Iterable[str], cache: Path, report: Report, ca: Path | None) -> dict[str, Stored]:
    """Everything of a base for these platforms (linux/arm64), by digest; downloaded where the cache lacks it.

    Raises FactoryError: not reachable, wrong sum (both named, the file removed), a platform that it does not have.
    """
    wanted = registry.named(base.reference.partition("@")[0])
    client = baseimages.client(wanted, ca)
    with closing(client):
        fetch = _Fetch(client=client, wanted=wanted, cache=cache, report=report)
        index = fetch.manifest(base.digest, _INDEX)
        for platform in dict.fromkeys(platforms):
            found = fetch.manifest(_entry(index, platform, base)["digest"], _MANIFEST)
            for part in (found["config"], *found["layers"]):
                fetch.blob(part["digest"], part.get("mediaType", "application/octet-stream"))
    return fetch.stored


def bring(base: Base, platform: str, cache: Path, report: Report, ca: Path | None) -> str:
    """What an engine that must run a base calls it: brought through `collect` where it is here and lacks it.

    Raises FactoryError, as `collect`.
    """
    wanted = registry.named(base.reference.partition("@")[0])
    if registry.is_loopback(wanted.host) or not engine.whereabouts().here or engine.image_facts(base.reference):
        return base.reference
    stored = collect(base, (platform,), cache, report, ca)
    with serving(stored) as host, closing(engine.connect()) as client, engine.asking(f"for {base.reference}"):
        return str(client.images.pull(f"{host}/{wanted.repository}@{base.digest}", platform=platform).id)


def _entry(index: Mapping[str, Any], platform: str, base: Base) -> Mapping[str, Any]:
    body = json.dumps(index).encode()
    known = registry.Manifest(digest=base.digest, media_type=_INDEX, body=body)
    return baseimages.entry(known, platform, base.reference.partition("@")[0])


class _Fetch:
    """Takes each object from the cache, or from the registry and then checks it."""

    def __init__(self, *, client: Client, wanted: Named, cache: Path, report: Report) -> None:
        self._client, self._wanted, self._cache, self._report = client, wanted, cache, report
        self.stored: dict[str, Stored] = {}

    def manifest(self, digest: str, kind: str) -> dict[str, Any]:
        path = self._object(digest, manifest=True)
        document: dict[str, Any] = json.loads(path.read_bytes())
        self.stored[digest] = Stored(kind=document.get("mediaType") or kind, path=path)
        return document

    def blob(self, digest: str, kind: str) -> None:
        self.stored[digest] = Stored(kind=kind, path=self._object(digest, manifest=False))

    def _object(self, digest: str, *, manifest: bool) -> Path:
        def download() -> bytes:
            self._report(f"downloading {origin}")
            if manifest:
                return self._client.document(self._wanted.repository, digest)
            return self._client.blob(self._wanted.repository, digest)

        origin = f"{self._wanted.host}/{self._wanted.repository}@{digest}"
        return inputs.keep(self._cache, digest.removeprefix("sha256:"), "blob", origin, download)


@contextmanager
def serving(stored: Mapping[str, Stored]) -> Iterator[str]:
    """Serve the objects, read only, on a free port of loopback until the block ends: host:port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, stored)

        do_HEAD = do_GET  # noqa: N815 - http.server's own name

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # an engine that leaves in the middle

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _answer(handler: BaseHTTPRequestHandler, stored: Mapping[str, Stored]) -> None:
    """The part of the distribution API that a pull by digest needs."""
    name = handler.path.rpartition("/")[2]
    found = stored.get(name)
    status, body, headers = 404, b"{}", {}
    if handler.path in ("/v2", "/v2/"):
        status = 200
    elif found:
        status, body = 200, found.path.read_bytes()
        headers = {"Content-Type": found.kind, "Docker-Content-Digest": name}
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != name:
            status, body = 500, b"{}"  # spoilt on the disk since it was checked
    handler.send_response(status)
    handler.send_header("Docker-Distribution-Api-Version", "registry/2.0")
    handler.send_header("Content-Length", str(len(body)))
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
