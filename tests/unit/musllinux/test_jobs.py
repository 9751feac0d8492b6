"""Several images at once."""

import threading
from pathlib import Path
from typing import cast

import pytest

from musllinux import jobs
from musllinux.errors import FactoryError
from musllinux.model import Image

IMAGES = cast("list[Image]", ["a", "b", "c", "d"])


def machine(monkeypatch: pytest.MonkeyPatch, processors: int, gib: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    monkeypatch.setattr(jobs, "available_memory", lambda: gib << 30)


@pytest.mark.parametrize(
    ("processors", "gib", "images", "expected"),
    [(2, 24, 6, 1), (16, 64, 6, 4), (16, 13, 6, 2), (64, 256, 3, 3), (1, 1, 1, 1)],
)
def test_the_default_follows_processors_and_memory(
    monkeypatch: pytest.MonkeyPatch, processors: int, gib: int, images: int, expected: int
) -> None:
    machine(monkeypatch, processors, gib)
    assert jobs.count(None, images) == expected


def test_what_is_asked_for_is_taken_up_to_the_number_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 2, 4)
    assert jobs.count(3, 6) == 3
    assert jobs.count(9, 2) == 2


def test_memory_is_what_is_available(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable:      50 kB\n")
    assert jobs.available_memory(tmp_path / "meminfo") == 50 * 1024


def test_results_come_in_the_order_of_the_images_and_work_overlaps() -> None:
    together = threading.Barrier(2, timeout=20)

    def work(image: Image) -> str:
        together.wait()
        return f"done {image}"

    assert jobs.each(IMAGES, work, 2) == ["done a", "done b", "done c", "done d"]


def test_a_failure_that_is_a_result_stops_no_other() -> None:
    def work(image: Image) -> FactoryError | None:
        return FactoryError("no") if str(image) == "a" else None

    ended = jobs.each(IMAGES, work, 2)
    assert [isinstance(each, FactoryError) for each in ended] == [True, False, False, False]


def test_a_bug_in_one_thread_is_not_swallowed() -> None:
    def work(_: Image) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        jobs.each(IMAGES, work, 2)
