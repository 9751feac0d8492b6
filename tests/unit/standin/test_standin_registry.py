"""The registry client against a registry of a few lines."""

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from standin.catalogue import load_targets
from standin.errors import StandinError
from standin.registry import INDEX, MANIFEST, Image, Layer, Registry, image


@dataclass
class Store:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    fail: int = 0  # answer every write with this status


class Handler(BaseHTTPRequestHandler):
    store: Store

    def do_HEAD(self) -> None:
        kind, _, name = self.path.removeprefix("/v2/library/alpine/").partition("/")
        if kind == "blobs":
            self._reply(200 if name in self.store.blobs else 404)
        elif name in self.store.manifests:
            media, content = self.store.manifests[name]
            found = media == self.headers["Accept"]
            self._reply(200 if found else 404, {"Docker-Content-Digest": digest(content)} if found else {})
        else:
            self._reply(404)

    def do_POST(self) -> None:
        self._reply(self.store.fail or 202, {"Location": "/v2/upload/1?_state=abc"})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.store.fail:
            self._reply(self.store.fail)
            return
        parts = urlsplit(self.path)
        self.store.writes.append(parts.path)
        if parts.path == "/v2/upload/1":
            query = parse_qs(parts.query)
            assert query["_state"] == ["abc"]
            assert query["digest"] == [digest(content)]
            self.store.blobs[digest(content)] = content
        else:
            name = parts.path.removeprefix("/v2/library/alpine/manifests/")
            self.store.manifests[name] = (self.headers["Content-Type"], content)
            self.store.manifests[digest(content)] = (self.headers["Content-Type"], content)
        self._reply(201, {"Docker-Content-Digest": digest(content)})

    def log_message(self, *_: object) -> None:
        pass

    def _reply(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def registry(store: Store) -> Iterator[Registry]:
    handler = type("Bound", (Handler,), {"store": store})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Registry(f"127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join()


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    path = tmp_path / "root.tar.gz"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("bin"))
    path.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
    return Layer.of(path)


def images(layer: Layer, *names: str) -> list[Image]:
    return [image(layer, load_targets()[name]) for name in names]


def test_a_layers_sums_are_those_of_the_file_and_of_the_tar_inside(layer: Layer) -> None:
    content = layer.path.read_bytes()
    assert layer.sha256 == hashlib.sha256(content).hexdigest()
    assert layer.diff_id == hashlib.sha256(gzip.decompress(content)).hexdigest()


def test_the_index_names_each_architecture_as_docker_does(registry: Registry, store: Store, layer: Layer) -> None:
    registry.push("library/alpine", "3.20.3", images(layer, "x86_64", "armv7", "x86"))
    media, content = store.manifests["3.20.3"]
    assert media == INDEX
    platforms = [entry["platform"] for entry in json.loads(content)["manifests"]]
    assert platforms == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
        {"architecture": "386", "os": "linux"},
    ]


def test_everything_the_index_leads_to_is_in_the_registry(registry: Registry, store: Store, layer: Layer) -> None:
    registry.push("library/alpine", "3.20.3", images(layer, "x86_64", "armv7"))
    for entry in json.loads(store.manifests["3.20.3"][1])["manifests"]:
        media, content = store.manifests[entry["digest"]]
        assert (media, len(content)) == (MANIFEST, entry["size"])
        manifest = json.loads(content)
        config = json.loads(store.blobs[manifest["config"]["digest"]])
        assert config["architecture"] == entry["platform"]["architecture"]
        assert config.get("variant") == entry["platform"].get("variant")
        assert config["rootfs"]["diff_ids"] == [f"sha256:{layer.diff_id}"]
        assert store.blobs[manifest["layers"][0]["digest"]] == layer.path.read_bytes()


def test_a_second_push_sends_nothing(registry: Registry, store: Store, layer: Layer) -> None:
    registry.push("library/alpine", "3.20.3", images(layer, "x86_64"))
    store.writes.clear()
    registry.push("library/alpine", "3.20.3", images(layer, "x86_64"))
    assert store.writes == []


def test_an_architecture_more_sends_only_what_is_new(registry: Registry, store: Store, layer: Layer) -> None:
    registry.push("library/alpine", "3.20.3", images(layer, "x86_64"))
    store.writes.clear()
    both = images(layer, "x86_64", "s390x")
    registry.push("library/alpine", "3.20.3", both)
    manifests = [name for name in store.writes if "/manifests/" in name]
    assert manifests == [f"/v2/library/alpine/manifests/{both[1].digest}", "/v2/library/alpine/manifests/3.20.3"]


def test_the_digest_is_the_same_every_time(layer: Layer) -> None:
    assert images(layer, "x86_64")[0].digest == images(layer, "x86_64")[0].digest


def test_a_registry_that_refuses_is_one_clear_line(registry: Registry, store: Store, layer: Layer) -> None:
    store.fail = 507
    with pytest.raises(StandinError, match="507"):
        registry.push("library/alpine", "3.20.3", images(layer, "x86_64"))


def test_a_registry_that_is_not_there_is_one_clear_line(layer: Layer) -> None:
    with pytest.raises(StandinError, match="does not answer"):
        Registry("127.0.0.1:1").push("library/alpine", "3.20.3", images(layer, "x86_64"))
