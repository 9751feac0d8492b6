"""hidden: whatever a check says, the run's passwords are in no record, no log and on no screen."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection, InvalidURL
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit

import pytest

from musllinux.errors import FactoryError
from musllinux.model import Image
from musllinux.run import run
from musllinux.smoke import hidden, runner
from musllinux.smoke.context import Context
from musllinux.smoke.record import CheckResult, Machine, SmokeRecord
from musllinux.smoke.registry import Check, Failed, LeftOut

MIRROR, PYTHON, CRATES, PROXY, INDEX, EXTRA, PIPS_PROXY, CARGOS_PROXY, TOKEN = SECRETS = [
    f"s3cret-of-{name}"
    for name in ("mirror", "python", "crates", "proxy", "index", "extra", "pips-proxy", "cargos-proxy", "token")
]
CARGO = f"""
[http]
proxy = "me:{CARGOS_PROXY}@proxy.invalid:3128"
[registries.own]
index = "sparse+https://crates.invalid/"
token = "{TOKEN}"
"""


@pytest.fixture
def guarded(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image from sources that want passwords, on a machine whose ways out want others."""
    for name, value in {
        "https_proxy": f"me:{PROXY}@proxy.invalid:3128",
        "PIP_INDEX_URL": f"https://me:{INDEX}@index.invalid/simple",
        "PIP_EXTRA_INDEX_URL": f"https://one.invalid/ https://me:{EXTRA}@two.invalid/simple",
        "PIP_PROXY": f"http://me:{PIPS_PROXY}@proxy.invalid:3128",
        "CARGO_HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config.toml").write_text(CARGO)
    supply = replace(
        image.supply,
        mirror=f"https://reader:{MIRROR}@mirror.invalid/alpine",
        python=f"https://reader:{PYTHON}@mirror.invalid/python",
        crates=f"sparse+https://reader:{CRATES}@mirror.invalid/crates/",
    )
    return replace(image, supply=supply)


class Watching:
    """Keeps what a screen would get."""

    def __init__(self) -> None:
        self.seen = ""

    def started(self, check: Check) -> None: ...

    def ended(self, check: Check, result: CheckResult) -> None:  # noqa: ARG002
        self.seen += f"{result.title}: {result.detail}{result.reason}\n"


def fails(context: Context) -> str:
    context.log(f"+ get {' '.join(SECRETS)}")
    raise Failed(f"first line\n  {' '.join(SECRETS)}")


def left_out(_: Context) -> str:
    raise LeftOut(f"no answer: {' '.join(SECRETS)}")


def refused(_: Context) -> str:
    raise FactoryError(f"no answer: {' '.join(SECRETS)}")


def breaks(_: Context) -> str:
    try:
        raise KeyError(SECRETS)
    except KeyError as error:
        raise RuntimeError(" ".join(SECRETS)) from error


def fine(context: Context) -> str:
    run(["echo", *SECRETS], on_line=context.log)
    return f"seen {' '.join(SECRETS)}"


BODIES: list[Callable[[Context], str]] = [fails, left_out, refused, breaks, fine]


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    image = SimpleNamespace(arch=SimpleNamespace(qemu_lacks=frozenset()))

    @contextmanager
    def context(*_: object) -> Iterator[Context]:
        yield cast(Context, SimpleNamespace(to=lambda log: SimpleNamespace(log=log), image=image))

    checks = [
        Check(name=body.__name__, group="g", body=body, subject="", arguments=(), after=frozenset(), weight=1)
        for body in BODIES
    ]
    monkeypatch.setattr(runner, "Engine", lambda: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(runner, "inspect", lambda *_: SimpleNamespace(id="sha256:0"))
    monkeypatch.setattr(runner, "_context", context)
    monkeypatch.setattr(runner, "machine", lambda _: Machine(cpus=1, system="", engine="", emulated=False))
    monkeypatch.setattr(runner, "checks", lambda _: checks)


def tried(image: Image, root: Path, work: Path) -> tuple[SmokeRecord, str, str]:
    """The record, the log, and what a screen would get."""
    progress = Watching()
    record = runner.smoke(image, root=root, work=work, progress=progress)
    return record, (work / image.id / "smoke.log").read_text(), progress.seen


@pytest.mark.usefixtures("no_engine")
def test_no_secret_is_in_a_record_a_log_or_on_a_screen(guarded: Image, root: Path, tmp_path: Path) -> None:
    record, log, screen = tried(guarded, root, tmp_path)
    assert [one.status for one in record.checks] == ["failed", "left-out", "failed", "failed", "ok"]
    for text in (record.model_dump_json(), log, screen):
        assert not [secret for secret in SECRETS if secret in text]
        assert "no answer: *** *** " in text
    assert "Traceback" in log
    assert "KeyError: ['***', " in log


@pytest.mark.usefixtures("no_engine")
def test_what_is_no_secret_is_said_as_it_is(image: Image, root: Path, tmp_path: Path) -> None:
    record, log, _ = tried(image, root, tmp_path)
    assert record.checks[0].detail == f"first line\n  {' '.join(SECRETS)}"
    assert f"+ get {' '.join(SECRETS)}\n" in log


def test_a_cargo_that_cannot_read_its_configuration_keeps_nothing_else_in_sight(guarded: Image, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("source = [")
    assert hidden.hider(guarded)(f"{MIRROR} {INDEX}") == "*** ***"


def test_a_url_that_urllib_does_not_understand_is_hidden_where_it_breaks(guarded: Image) -> None:
    with pytest.raises(InvalidURL, match=MIRROR) as caught:
        HTTPConnection(urlsplit(guarded.supply.mirror).netloc)
    assert MIRROR not in hidden.hider(guarded)("".join(traceback.format_exception(caught.value)))
