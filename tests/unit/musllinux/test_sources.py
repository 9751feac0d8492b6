"""Which source a run takes, and what it says before it uses the stand-in."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from musllinux import rehearsal, sources
from musllinux.errors import FactoryError
from musllinux.model import Selection, Supply
from musllinux.schema import Matrix
from musllinux.settings import Settings, Source

from .factory import ROOT, everything, shipped
from .server import free_port, serving

MATRIX = shipped()


def settings(tmp_path: Path, source: Source = Source.AUTO, **selection: Any) -> Settings:
    return Settings(root=ROOT, work=tmp_path / "build", cache=tmp_path / "cache", source=source, **selection)


def at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every upstream host be this one."""
    monkeypatch.setattr(sources, "upstream_hosts", lambda _: [url.partition("://")[2]])
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)


@pytest.mark.parametrize("source", [Source.UPSTREAM, Source.STANDIN])
def test_what_was_asked_for_is_taken_without_asking_any_host(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "answers", lambda _: pytest.fail("a host was asked"))
    said: list[str] = []
    assert sources.choose(settings(tmp_path, source), MATRIX, said.append) is source
    assert said == []


def test_a_host_that_answers_without_tls_still_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as served:
        at(served.url, monkeypatch)
        assert sources.choose(settings(tmp_path), MATRIX, lambda _: None) is Source.UPSTREAM


def test_a_host_is_asked_through_a_proxy_written_without_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as served:
        monkeypatch.setenv("http_proxy", f"me:s3cret@{served.url.removeprefix('http://')}")
        assert sources.answers("far.invalid:80")
        assert served.paths == ["http://far.invalid:80/"]


def test_where_no_host_answers_it_is_the_standin_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(f"http://127.0.0.1:{free_port()}", monkeypatch)
    said: list[str] = []
    assert sources.choose(settings(tmp_path), MATRIX, said.append) is Source.STANDIN
    assert "no upstream host answers" in said[0]


def test_the_hosts_asked_are_those_of_the_matrix_without_credentials() -> None:
    upstream = MATRIX.sources.upstream.model_copy(
        update={
            "mirror": "https://reader:s3cret@mirror.example.com:8443/alpine",
            "python": "http://mirror.example.com/p",
        }
    )
    matrix = MATRIX.model_copy(update={"sources": MATRIX.sources.model_copy(update={"upstream": upstream})})
    assert sources.upstream_hosts(matrix) == ["mirror.example.com:8443", "mirror.example.com:80", "docker.io:443"]


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in that comes up at once, with CPython 3.9 and 3.14 alone."""
    full = everything(MATRIX)
    few = {series: archive for series, archive in full.archives.items() if series in {"3.9", "3.14"}}
    seen = SimpleNamespace(parts=[], supply=dataclasses.replace(full, name="standin", archives=few))

    def up(part: rehearsal.Part, _: Path, __: Any) -> None:
        seen.parts.append(part)

    def present(_: Settings, __: Matrix, ___: Source) -> Supply:
        found: Supply = seen.supply
        return found

    monkeypatch.setattr(rehearsal, "up", up)
    monkeypatch.setattr(sources, "present", present)
    return seen


def test_what_the_standin_does_not_make_by_itself_is_said(tmp_path: Path, standin: SimpleNamespace) -> None:
    said: list[str] = []
    wish = settings(tmp_path, ids=("musllinux_1_2_x86_64",))
    supply, selection = sources.ready(wish, MATRIX, Source.STANDIN, said.append)
    assert (supply, selection) == (standin.supply, Selection(ids=("musllinux_1_2_x86_64",)))
    assert len(said) == 1
    assert "cp311-cp311" in said[0]
    assert "cp39-cp39" not in said[0]


def test_series_that_are_asked_for_are_brought_up(tmp_path: Path, standin: SimpleNamespace) -> None:
    said: list[str] = []
    wish = settings(tmp_path, ids=("musllinux_1_2_x86_64",), interpreters=("cp313-cp313",))
    sources.ready(wish, MATRIX, Source.STANDIN, said.append)
    assert "3.13" in standin.parts[0].pythons
    assert said == []


def test_upstream_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "up", lambda *_: pytest.fail("the stand-in was started"))
    supply, _ = sources.ready(settings(tmp_path, Source.UPSTREAM), MATRIX, Source.UPSTREAM, lambda _: None)
    assert supply.name == "upstream"


def test_a_standin_that_was_never_up_is_not_started_by_a_verb_that_looks(tmp_path: Path) -> None:
    with pytest.raises(FactoryError, match="not up"):
        sources.present(settings(tmp_path), MATRIX, Source.STANDIN)


def test_what_was_printed_before_a_remark_comes_before_it_in_a_pipe() -> None:
    program = "from musllinux import sources; print('table'); sources.say('remark')"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    assert done.stdout == b"table\n[sources] remark\n"
