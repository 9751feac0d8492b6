"""relay: the base image, checked against the lock and served to the engine; a tampered byte stops it with both sums."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from tests.upstream import Upstream, bytes_of, on_loopback

from musllinux import engine, registry, relay
from musllinux.errors import FactoryError
from musllinux.model import Base

PLATFORMS = ("linux/amd64", "linux/arm64/v8")


class Hub:
    """A miniature Docker Hub with one image."""

    def __init__(self, upstream: Upstream, host: str) -> None:
        self.upstream, self.host = upstream, host
        layers = {p: [gzip.compress(p.encode(), mtime=0)] for p in PLATFORMS}
        self.digest = upstream.image("library/alpine", "3.22.6", layers)

    @property
    def base(self) -> Base:
        reference = f"{self.host}/library/alpine:3.22@{self.digest}"
        return Base(reference=reference, release="3.22", version="3.22.6", digest=self.digest)

    def collect(self, cache: Path, *platforms: str) -> dict[str, relay.Stored]:
        return relay.collect(self.base, platforms or ("linux/amd64",), cache, lambda _: None, None)

    def parts(self, platform: str) -> list[str]:
        """Digests of a platform's manifest, configuration and layer."""
        index = json.loads(bytes_of(self.upstream.blobs[self.digest]))
        (manifest,) = [
            m["digest"] for m in index["manifests"] if m["platform"]["architecture"] == platform.split("/")[1]
        ]
        document = json.loads(bytes_of(self.upstream.blobs[manifest]))
        return [manifest, document["config"]["digest"], document["layers"][0]["digest"]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    upstream = Upstream()
    with on_loopback(upstream) as host:
        yield Hub(upstream, host)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_everything_of_the_wanted_platforms_is_kept_and_nothing_else(hub: Hub, tmp_path: Path) -> None:
    stored = hub.collect(tmp_path / "cache", "linux/amd64")
    assert set(stored) == {hub.digest, *hub.parts("linux/amd64")}
    assert set(hub.collect(tmp_path / "cache", *PLATFORMS)) == set(hub.upstream.blobs)


def test_what_is_kept_is_not_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    hub.collect(tmp_path / "cache")
    hub.upstream.asked.clear()
    hub.collect(tmp_path / "cache")
    assert hub.upstream.asked == []


@pytest.mark.parametrize("which", ["index", "manifest", "configuration", "layer"])
def test_a_tampered_byte_stops_it_with_both_sums_and_leaves_no_file(hub: Hub, tmp_path: Path, which: str) -> None:
    names = ("index", "manifest", "configuration", "layer")
    digest = [hub.digest, *hub.parts("linux/amd64")][names.index(which)]
    folder = "blobs" if which in ("configuration", "layer") else "manifests"
    tampered = bytes_of(hub.upstream.blobs[digest])[:-1] + b" "
    hub.upstream.altered[f"/v2/library/alpine/{folder}/{digest}"] = tampered
    with pytest.raises(FactoryError) as caught:
        hub.collect(tmp_path / "cache")
    assert digest.removeprefix("sha256:") in caught.value.message
    assert hashlib.sha256(tampered).hexdigest() in caught.value.message
    assert "the file was removed" in caught.value.message
    assert not [path for path in files(tmp_path / "cache") if digest.removeprefix("sha256:") in str(path)]
    hub.upstream.altered.clear()
    assert hub.collect(tmp_path / "cache")


def test_what_the_disk_spoilt_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    for stored in hub.collect(tmp_path / "cache").values():
        stored.path.write_bytes(b"spoilt")
    for digest, stored in hub.collect(tmp_path / "cache").items():
        assert f"sha256:{hashlib.sha256(stored.path.read_bytes()).hexdigest()}" == digest


def test_a_platform_that_the_base_lacks_is_named(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(FactoryError, match="has no image for linux/s390x"):
        hub.collect(tmp_path / "cache", "linux/s390x")


def test_an_engine_gets_it_by_digest_from_loopback_with_its_media_types(hub: Hub, tmp_path: Path) -> None:
    stored = hub.collect(tmp_path / "cache")
    with relay.serving(stored) as host:
        assert requests.get(f"http://{host}/v2/", timeout=5).status_code == 200
        for digest in stored:
            folder = "manifests" if digest in hub.upstream.kinds else "blobs"
            url = f"http://{host}/v2/library/alpine/{folder}/{digest}"
            answer = requests.get(url, timeout=5)
            assert answer.content == bytes_of(hub.upstream.blobs[digest])
            assert answer.headers["Content-Type"] == hub.upstream.kinds.get(digest, answer.headers["Content-Type"])
            head = requests.head(url, timeout=5)
            assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(answer.content)))
        assert requests.get(f"http://{host}/v2/library/alpine/blobs/sha256:{'0' * 64}", timeout=5).status_code == 404
        assert requests.get(f"http://{host}/../../etc/passwd", timeout=5).status_code == 404


def test_what_was_spoilt_after_the_check_is_not_served(hub: Hub, tmp_path: Path) -> None:
    stored = hub.collect(tmp_path / "cache")
    stored[hub.digest].path.write_bytes(b"{}")
    with relay.serving(stored) as host:
        assert requests.get(f"http://{host}/v2/a/manifests/{hub.digest}", timeout=5).status_code == 500


class Puller:
    """An engine that pulls: keeps what it was asked for, and gets it from the registry as an engine would."""

    def __init__(self) -> None:
        self.images, self.asked = self, list[tuple[str, str]]()

    def pull(self, reference: str, platform: str) -> SimpleNamespace:
        self.asked.append((reference, platform))
        host, _, rest = reference.partition("/")
        repository, _, digest = rest.partition("@")
        answer = requests.get(f"http://{host}/v2/{repository}/manifests/{digest}", timeout=5)
        assert answer.status_code == 200
        return SimpleNamespace(id="sha256:brought")

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("here", "has", "pulls"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_a_pristine_base_is_brought_where_the_engine_is_here_and_lacks_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool, has: bool, pulls: int
) -> None:
    puller = Puller()
    hub.upstream.private = False
    monkeypatch.setattr(engine, "whereabouts", lambda: engine.Whereabouts(platform="linux/amd64", here=here))
    monkeypatch.setattr(engine, "image_facts", lambda _: object() if has else None)
    monkeypatch.setattr(engine, "connect", lambda: puller)
    monkeypatch.setattr(registry, "is_loopback", lambda host: not host)  # this hub is on loopback, Docker's is not
    monkeypatch.setattr(registry.Client, "_send", plainly(hub.host))
    found = relay.bring(hub.base, "linux/arm64", tmp_path, lambda _: None, None)
    assert len(puller.asked) == pulls
    assert found == ("sha256:brought" if pulls else hub.base.reference)
    if pulls:
        ((reference, platform),) = puller.asked
        assert reference.endswith(f"/library/alpine@{hub.digest}")
        assert platform == "linux/arm64"


def plainly(host: str) -> Callable[..., registry.Answer]:
    """A client's requests without TLS."""

    def send(client: registry.Client, method: str, path: str, headers: dict[str, str]) -> registry.Answer:
        return client._exchange(method, f"http://{host}{path}", headers)

    return send
