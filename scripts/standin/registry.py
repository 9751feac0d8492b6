"""Base images written straight into a registry over its API: no engine, and the same digests every time.

The protocol is the OCI distribution specification 1.1, the documents are those of the OCI image
specification 1.1.
"""

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from standin.catalogue import Target
from standin.errors import StandinError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CREATED = "1970-01-01T00:00:00Z"  # an image must not depend on when it was made
_TIMEOUT = 60  # seconds without an answer from loopback
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A gzipped root file system: its file, the file's SHA-256 and that of the tar inside (hex)."""

    path: Path
    sha256: str
    diff_id: str

    @classmethod
    def of(cls, path: Path) -> "Layer":
        """Read the sums from the file."""
        with path.open("rb") as stream:
            packed = hashlib.file_digest(stream, "sha256").hexdigest()
        with gzip.open(path, "rb") as stream:
            unpacked = hashlib.file_digest(stream, "sha256").hexdigest()
        return cls(path=path, sha256=packed, diff_id=unpacked)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of one layer for one architecture, as the documents a registry stores."""

    layer: Layer
    config: bytes
    manifest: bytes
    platform: Mapping[str, str]

    @property
    def digest(self) -> str:
        """`sha256:…` of the manifest."""
        return _digest(self.manifest)


def image(layer: Layer, target: Target) -> Image:
    """The configuration and manifest of `layer` for `target`."""
    platform = {"architecture": target.architecture, "os": "linux"}
    if target.variant:
        platform["variant"] = target.variant
    config = _canonical(
        {
            "created": _CREATED,
            **platform,
            "config": {"Env": [_PATH], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}"]},
            "history": [{"created": _CREATED, "created_by": f"stand-in: {layer.path.name}"}],
        }
    )
    manifest = _canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [
                {
                    "mediaType": LAYER,
                    "digest": f"sha256:{layer.sha256}",
                    "size": layer.path.stat().st_size,
                }
            ],
        }
    )
    return Image(layer=layer, config=config, manifest=manifest, platform=platform)


class Registry:
    """A client of one registry on loopback (plain HTTP)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy must not get to see loopback traffic

    def push(self, repository: str, tag: str, images: Sequence[Image]) -> None:
        """Put the images and an index `tag` over them; what is there already is not sent again."""
        for each in images:
            if not self._has(f"/v2/{repository}/manifests/{each.digest}", MANIFEST):
                self._put_file(repository, each.layer)
                self._put_blob(repository, each.config)
                self._put_manifest(repository, each.digest, MANIFEST, each.manifest)
        index = _index(images)
        if self._tag(repository, tag) != _digest(index):
            self._put_manifest(repository, tag, INDEX, index)

    def _tag(self, repository: str, tag: str) -> str | None:
        answer = self._ask("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": INDEX})
        return answer.headers.get("Docker-Content-Digest") if answer.ok else None

    def _has(self, path: str, accept: str = "*/*") -> bool:
        return self._ask("HEAD", path, headers={"Accept": accept}).ok

    def _put_file(self, repository: str, layer: Layer) -> None:
        if not self._has(f"/v2/{repository}/blobs/sha256:{layer.sha256}"):
            with layer.path.open("rb") as stream:
                self._upload(repository, f"sha256:{layer.sha256}", stream)

    def _put_blob(self, repository: str, content: bytes) -> None:
        if not self._has(f"/v2/{repository}/blobs/{_digest(content)}"):
            self._upload(repository, _digest(content), content)

    def _upload(self, repository: str, digest: str, content: Any) -> None:
        started = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        self._expect(started, requests.codes.accepted, "start an upload")
        place = requests.compat.urljoin(f"http://{self.address}", started.headers.get("Location", ""))
        headers = {"Content-Type": "application/octet-stream"}
        done = self._ask("PUT", place, params={"digest": digest}, data=content, headers=headers)
        self._expect(done, requests.codes.created, f"store {digest}")

    def _put_manifest(self, repository: str, reference: str, kind: str, content: bytes) -> None:
        path = f"/v2/{repository}/manifests/{reference}"
        done = self._ask("PUT", path, data=content, headers={"Content-Type": kind})
        self._expect(done, requests.codes.created, f"store {repository}:{reference}")
        answered = done.headers.get("Docker-Content-Digest", _digest(content))
        if answered != _digest(content):
            raise StandinError(f"the registry at {self.address} stored {answered}, not {_digest(content)}")

    def _ask(self, method: str, place: str, **more: Any) -> requests.Response:
        url = place if place.startswith("http") else f"http://{self.address}{place}"
        try:
            return self._session.request(method, url, timeout=_TIMEOUT, **more)
        except requests.RequestException as error:
            raise StandinError(
                f"the stand-in's registry at {self.address} does not answer: {error}",
                hint="`standin down`, then `standin up`; its log is registry.log in the cache's run folder",
            ) from error

    def _expect(self, answer: requests.Response, code: int, what: str) -> None:
        if answer.status_code != code:
            said = " ".join(answer.text.split())[:200]
            raise StandinError(
                f"the stand-in's registry at {self.address} could not {what}: {answer.status_code} {said}",
                hint="is the disk full? its log is registry.log in the cache's run folder",
            )


def _index(images: Sequence[Image]) -> bytes:
    entries = [
        {
            "mediaType": MANIFEST,
            "digest": each.digest,
            "size": len(each.manifest),
            "platform": dict(each.platform),
        }
        for each in images
    ]
    return _canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
