from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux.engine import ImageFacts
from musllinux.model import Image
from musllinux.smoke import record, table, verb
from musllinux.smoke.record import CheckResult, Machine, SmokeRecord


def result(status: str = "ok", **values: Any) -> CheckResult:
    defaults = {"name": "starts", "group": "interpreters", "status": status, "seconds": 1.0}
    return CheckResult.model_validate({**defaults, **values})


def of(*checks: CheckResult, **values: Any) -> SmokeRecord:
    machine = Machine(cpus=2, system="Linux 6 x86_64", engine="Docker 20.10.24", emulated=False)
    defaults: dict[str, Any] = {
        "id": "musllinux_1_2_x86_64",
        "image": "sha256:1",
        "suite": "abc",
        "source": "standin",
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 12.0,
        "machine": machine,
        "interpreters": ("cp39-cp39",),
    }
    return SmokeRecord(**{**defaults, **values}, checks=checks)


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = of(result(), result("left-out", reason="no index"), result("failed", detail="a\nb"))
    record.write(tmp_path, written)
    assert record.read(tmp_path, written.id) == written


@given(st.binary(max_size=200))
def test_what_is_no_record_is_none_and_no_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    work = tmp_path_factory.mktemp("work")
    place = record.path(work, "image")
    place.parent.mkdir()
    place.write_bytes(content)
    assert record.read(work, "image") is None


def test_a_record_of_another_format_is_none(tmp_path: Path) -> None:
    record.write(tmp_path, of(result()))
    place = record.path(tmp_path, "musllinux_1_2_x86_64")
    place.write_text(place.read_text().replace('"format": 1', '"format": 2'))
    assert record.read(tmp_path, "musllinux_1_2_x86_64") is None


def test_green_means_that_something_was_checked_and_nothing_failed() -> None:
    assert of(result(), result("left-out")).green
    assert not of(result(), result("failed")).green
    assert not of().green


def test_the_suites_version_follows_samples_and_what_the_matrix_says_of_the_image(image: Image, tmp_path: Path) -> None:
    sample = tmp_path / "tests" / "wheels" / "c.c"
    sample.parent.mkdir(parents=True)
    sample.write_text("int a;")
    first = record.suite(image, tmp_path)
    assert record.suite(image, tmp_path) == first
    assert record.suite(replace(image, interpreters=image.interpreters[:1]), tmp_path) != first
    assert record.suite(replace(image, trials={}), tmp_path) != first
    lacking = replace(image.arch, qemu_lacks=("steady threads",))  # what is forgiven, and what is left out
    assert record.suite(replace(image, arch=lacking), tmp_path) != first
    assert image.rust
    assert record.suite(replace(image, rust=replace(image.rust, uncompiled=("maturin",))), tmp_path) != first
    sample.write_text("int b;")
    assert record.suite(image, tmp_path) != first


@pytest.mark.parametrize(
    "case",  # status of its one check, suite, image id now in the engine, whether it is reused
    [
        ("ok", "", "sha256:1", True),
        ("left-out", "", "sha256:1", True),
        ("failed", "", "sha256:1", False),
        ("ok", "older", "sha256:1", False),
        ("ok", "", "sha256:2", False),
        ("ok", "", "", False),
    ],
)
def test_only_a_green_record_of_this_image_and_these_checks_is_reused(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, str, str, bool]
) -> None:
    status, suite, there, reused = case
    facts = ImageFacts(id=there, platform="linux/amd64", labels={}, size=1) if there else None
    monkeypatch.setattr(verb, "image_facts", lambda _: facts)
    record.write(tmp_path, of(result(status), suite=suite or record.suite(image, tmp_path)))
    assert (verb.reusable(image, tmp_path, tmp_path) is not None) is reused


def test_results_of_one_check_are_one_row_with_the_worst_status() -> None:
    checks = [
        result(subject="cp39-cp39", detail="3.9"),
        result("failed", subject="cp311-cp311", detail="no module\nmore"),
        result("left-out", group="trials", name="run", reason="no base"),
    ]
    first, second = table.rows(checks)
    assert (first.status, first.count, first.seconds, first.text) == ("failed", "1 of 2", 2.0, "no module")
    assert (second.status, second.count, second.text) == ("left-out", "0 of 1", "no base")


def test_the_plain_table_has_every_failure_in_full_and_every_reason_once() -> None:
    left = [result("left-out", group="trials", name="run", subject=s, reason="no pristine base") for s in ("a", "b")]
    text = table.plain(of(result(), result("failed", name="tar", detail="first\nsecond"), *left))
    assert "FAILED interpreters / tar\n    first\n    second" in text
    assert "left out (2): no pristine base\n    trials / a: run\n    trials / b: run" in text
    assert text.endswith("musllinux_1_2_x86_64: 1 FAILED, 1 ok, 2 left out, in 12 s (standin)")


def test_an_all_green_table_says_nothing_of_failures() -> None:
    text = table.plain(of(result(), result(name="pip")))
    assert "FAILED" not in text
    assert "left out" not in text
