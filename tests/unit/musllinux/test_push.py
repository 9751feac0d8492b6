import datetime as dt
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux import console
from musllinux import push as pushing
from musllinux.engine import ImageFacts
from musllinux.errors import FactoryError, UsageError
from musllinux.push import Candidate, Line, check, choose_tag, push
from musllinux.registry import Manifest, Place, RegistryError, place
from musllinux.smoke.record import CheckResult, Machine, SmokeRecord, write

HERE = place("127.0.0.1:5000/me")
ID = "musllinux_1_2_x86_64"
OURS = f"sha256:{'a' * 64}"
THEIRS = f"sha256:{'b' * 64}"


def manifest(config: str) -> Manifest:
    body = json.dumps({"config": {"digest": config}}).encode()
    return Manifest(digest=f"sha256:{hashlib.sha256(body).hexdigest()}", media_type="", body=body)


class Registry(dict[tuple[str, str], Manifest]):
    """A registry as what it holds."""

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        return self.get((repository, reference))


def candidate(name: str = ID, labels: Mapping[str, str] | None = None) -> Candidate:
    return Candidate(id=name, facts=ImageFacts(id=OURS, platform="linux/amd64", labels=labels or {}, size=1))


def holding(tags: Mapping[str, str], name: str = ID) -> Registry:
    return Registry({(f"me/{name}", tag): manifest(config) for tag, config in tags.items()})


def tag(held: Registry, asked: str, *candidates: Candidate) -> str:
    return choose_tag(held, HERE, candidates or (candidate(),), asked)


def test_the_first_n_of_the_day_is_1() -> None:
    today = f"{dt.datetime.now(dt.UTC):%Y.%m.%d}"
    assert tag(Registry(), "") in (f"{today}-1", f"{dt.datetime.now(dt.UTC):%Y.%m.%d}-1")


def test_the_next_n_is_taken_where_a_tag_is_of_another_image() -> None:
    assert tag(holding({"2026.11.22-1": THEIRS, "2026.11.22-2": THEIRS}), "2026.11.22") == "2026.11.22-3"


def test_a_push_that_did_not_finish_goes_on_under_its_tag() -> None:
    assert tag(holding({"2026.11.22-1": THEIRS, "2026.11.22-2": OURS}), "2026.11.22") == "2026.11.22-2"


def test_one_n_serves_all_images_of_a_push() -> None:
    other = "musllinux_1_2_aarch64"
    held = Registry({**holding({"2026.11.22-1": THEIRS}), **holding({"2026.11.22-2": THEIRS}, other)})
    assert tag(held, "2026.11.22", candidate(), candidate(other)) == "2026.11.22-3"


def test_a_full_tag_that_is_taken_is_refused_with_the_next_free_one() -> None:
    with pytest.raises(FactoryError, match=rf"2026\.11\.22-1 is taken by another image: .*{ID}") as caught:
        tag(holding({"2026.11.22-1": THEIRS, "2026.11.22-2": THEIRS}), "2026.11.22-1")
    assert caught.value.hint == "the next free tag is 2026.11.22-3"


def test_a_full_tag_that_is_free_or_ours_is_kept() -> None:
    assert tag(Registry(), "2026.11.22-7") == "2026.11.22-7"
    assert tag(holding({"2026.11.22-7": OURS}), "2026.11.22-7") == "2026.11.22-7"


@pytest.mark.parametrize(
    "asked", ["latest", "2026.13.01", "2026.11.22-0", "2026.11.22-01", "2026-11-22", "2026.11.22-1 "]
)
def test_other_tags_are_bad_usage(asked: str) -> None:
    with pytest.raises(UsageError, match="is not a date"):
        tag(Registry(), asked)


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_the_tag_is_never_one_with_another_image(foreign: set[int], ours: set[int]) -> None:
    tags = {f"2026.11.22-{n}": OURS for n in ours} | {f"2026.11.22-{n}": THEIRS for n in foreign}
    chosen = tag(holding(tags), "2026.11.22")
    assert tags.get(chosen) in (None, OURS)
    assert int(chosen.rpartition("-")[2]) == min(set(range(1, 62)) - foreign)


def tried(work: Path, image: str = OURS, status: str = "ok") -> None:
    machine = Machine(cpus=2, system="Linux", engine="Docker 20.10.24", emulated=False)
    checks = (CheckResult.model_validate({"name": "starts", "group": "identity", "status": status, "seconds": 0.1}),)
    values: dict[str, Any] = {"suite": "1", "source": "standin", "started": "2026-11-22T00:00:00+00:00", "seconds": 1.0}
    write(work, SmokeRecord(id=ID, image=image, machine=machine, interpreters=(), checks=checks, **values))


def test_an_image_that_is_tried_and_green_passes(tmp_path: Path) -> None:
    tried(tmp_path)
    check([candidate()], HERE, tmp_path)


def test_images_that_are_not_tried_or_failed_are_not_pushed(tmp_path: Path) -> None:
    with pytest.raises(FactoryError, match=rf"not pushed: {ID} \(not tried\)"):
        check([candidate()], HERE, tmp_path)
    tried(tmp_path, image=THEIRS)  # another build of the same image
    with pytest.raises(FactoryError, match="not tried"):
        check([candidate()], HERE, tmp_path)
    tried(tmp_path, status="failed")
    with pytest.raises(FactoryError, match="1 smoke checks failed"):
        check([candidate()], HERE, tmp_path)


@pytest.mark.parametrize("host", ["quay.io", "10.0.0.1:5000", "localhost.example.org", "127.0.0.1.example.org"])
def test_a_stand_in_image_goes_to_no_registry_but_loopback(tmp_path: Path, host: str) -> None:
    tried(tmp_path)
    substitute = candidate(labels={pushing.STANDIN: "1"})
    with pytest.raises(FactoryError, match=f"built from the stand-in, not for {host}"):
        check([substitute], place(host, "me"), tmp_path)
    check([substitute], place("localhost:5000", "me"), tmp_path)


class Engine:
    """The part of the docker SDK that a push needs; a push puts `sends` into the registry under what it says."""

    def __init__(self, held: Registry, events: list[list[dict[str, object]]], sends: str = OURS) -> None:
        self.held, self.events, self.sends = held, events, sends
        self.tagged: list[str] = []
        self.api = SimpleNamespace(tag=self._tag, push=self._push)
        self.images = SimpleNamespace(remove=self._remove)

    def _tag(self, image: str, repository: str, name: str) -> None:
        assert image == OURS
        self.tagged.append(f"{repository}:{name}")

    def _remove(self, reference: str, *, noprune: bool) -> None:
        assert noprune
        self.tagged.remove(reference)

    def _push(self, repository: str, tag: str, *, stream: bool, decode: bool) -> list[dict[str, object]]:
        assert stream
        assert decode
        events = self.events.pop(0)
        if not any("error" in event for event in events):
            self.held[repository.partition("/")[2], tag] = manifest(self.sends)
        return events


def sent(digest: str) -> list[dict[str, object]]:
    return [
        {"status": "The push refers to repository [x]"},
        {"status": "Pushing", "id": "l1", "progressDetail": {"current": 1, "total": 2}},
        {"status": "Layer already exists", "id": "l2"},
        {"status": "Pushed", "id": "l1"},
        {"status": "t: digest: sha256:… size: 1"},
        {"progressDetail": {}, "aux": {"Tag": "t", "Digest": digest, "Size": 1}},
    ]


def line(engine: Engine, where: Place = HERE) -> Line:
    board = console.progress([ID], stream=io.StringIO(), environ={})
    return Line(client=cast("Any", engine), api=engine.held, where=where, tag="2026.11.22-1", board=board)


REFERENCE = f"127.0.0.1:5000/me/{ID}:2026.11.22-1"


def test_a_push_is_done_when_the_registry_serves_what_was_sent() -> None:
    engine = Engine(Registry(), [sent(manifest(OURS).digest)])
    done = push(line(engine), candidate())
    assert (done.reference, done.digest, done.how) == (REFERENCE, manifest(OURS).digest, "pushed")
    assert engine.tagged == []


def test_what_is_there_already_is_not_sent_again() -> None:
    engine = Engine(holding({"2026.11.22-1": OURS}), [])
    assert push(line(engine), candidate()).how == "was there"


def test_a_tag_taken_meanwhile_is_not_overwritten() -> None:
    engine = Engine(holding({"2026.11.22-1": THEIRS}), [])
    with pytest.raises(RegistryError, match="taken by another image meanwhile"):
        push(line(engine), candidate())


def test_a_registry_that_serves_something_else_afterwards_is_an_error() -> None:
    engine = Engine(Registry(), [sent(manifest(OURS).digest)], sends=THEIRS)
    with pytest.raises(
        RegistryError, match=f"sent {manifest(OURS).digest}, the registry serves {manifest(THEIRS).digest}"
    ):
        push(line(engine), candidate())
    assert engine.tagged == []


def test_an_engine_that_does_not_say_the_digest_is_an_error() -> None:
    with pytest.raises(RegistryError, match="does not say which digest"):
        push(line(Engine(Registry(), [sent("")[:-1]])), candidate())


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("denied: requested access to the resource is denied", "`docker login 127.0.0.1:5000`"),
        ("unauthorized: authentication required", "`docker login 127.0.0.1:5000`"),
        ("no basic auth credentials", "`docker login 127.0.0.1:5000`"),
        ('Get "https://x/v2/": http: server gave HTTP response to HTTPS client', "insecure-registries"),
        ('Get "http://x/v2/": dial tcp: lookup x: no such host', "check that 127.0.0.1:5000 is a registry"),
    ],
)
def test_a_refused_push_is_one_line_with_its_remedy_and_is_not_repeated(said: str, hint: str) -> None:
    engine = Engine(Registry(), [[{"error": said, "errorDetail": {"message": said}}]])
    with pytest.raises(RegistryError) as caught:
        push(line(engine), candidate())
    assert caught.value.message == f"127.0.0.1:5000 does not take me/{ID}: {said}"
    assert hint in caught.value.hint
    assert engine.tagged == []


def test_a_busy_registry_gets_the_push_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    busy: list[dict[str, object]] = [{"error": "received unexpected HTTP status: 503 Service Unavailable"}]
    engine = Engine(Registry(), [busy, busy, sent(manifest(OURS).digest)])
    assert push(line(engine), candidate()).how == "pushed"
    assert waited == [1, 2]


def test_a_registry_that_stays_broken_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    broken: list[dict[str, object]] = [{"error": "received unexpected HTTP status: 500 Internal Server Error"}]
    engine = Engine(Registry(), [broken] * pushing.TRIES)
    with pytest.raises(RegistryError, match="500 Internal") as caught:
        push(line(engine), candidate())
    assert engine.events == []
    assert "a rerun goes on" in caught.value.hint
