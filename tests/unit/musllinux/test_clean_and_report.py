import json
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from musllinux import clean, record, report
from musllinux.settings import Settings
from musllinux.smoke import record as smoke

ROOT = Path(__file__).resolve().parents[3]
ID = "musllinux_1_2_x86_64"
IMAGE = f"sha256:{'a' * 64}"


@pytest.fixture
def run(tmp_path: Path) -> Settings:
    return Settings(root=ROOT, work=tmp_path / "build", cache=tmp_path / "cache")


def built(run: Settings, name: str = ID, image: str = IMAGE) -> None:
    values: dict[str, Any] = {"source": "standin", "base": "b", "created": "2026-11-22T00:00:00+00:00", "size": 10**8}
    record.write(
        run.work,
        record.BuildRecord(
            format=1,
            id=name,
            image=image,
            fingerprint="f",
            seconds=125.0,
            interpreters=("cp314-cp314 3.14.0",),
            lacking=(),
            packages=(),
            steps={"cpython": 60.0},
            **values,
        ),
    )


def tried(run: Settings, *statuses: str, image: str = IMAGE) -> None:
    checks = [
        {"name": f"check {n}", "group": "g", "status": status, "seconds": 1.0, "detail": "first\nsecond"}
        for n, status in enumerate(statuses)
    ]
    machine = {"cpus": 2, "system": "Linux", "engine": "Docker", "emulated": False}
    values = {"id": ID, "image": image, "suite": "1", "source": "standin", "started": "now", "seconds": 1.0}
    smoke.write(
        run.work,
        smoke.SmokeRecord.model_validate({**values, "machine": machine, "interpreters": [], "checks": checks}),
    )


def row(run: Settings) -> tuple[str, ...]:
    return report.entry(run.work, ID).row()


def test_an_image_without_records_is_not_built(run: Settings) -> None:
    assert row(run) == (ID, "", "not built", "", "", "")


def test_a_row_says_source_time_size_and_results(run: Settings) -> None:
    built(run)
    assert row(run) == (ID, "standin", "2 min 5 s", "100 MB", "not tried", "")
    tried(run, "ok", "ok", "left-out")
    assert row(run)[4] == "2 ok, 1 left out"


def test_a_failed_check_is_named_with_its_first_line(run: Settings) -> None:
    built(run)
    tried(run, "ok", "failed")
    assert row(run)[4] == "1 FAILED"
    assert report.complaints([report.entry(run.work, ID)]) == [f"{ID}: check 1: first"]


def test_results_of_an_earlier_build_do_not_count(run: Settings) -> None:
    built(run)
    tried(run, "ok", image="sha256:another")
    push = {"format": 1, "id": ID, "image": "sha256:another", "reference": "r", "digest": "d"}
    record.write_json(run.work / ID / "push.json", push)
    assert row(run)[4:] == ("not tried", "")


def test_where_it_was_pushed_is_shown(run: Settings) -> None:
    built(run)
    push = {"format": 1, "id": ID, "image": IMAGE, "reference": "quay.io/me/x:2026.11.22-1", "digest": "d"}
    record.write_json(run.work / ID / "push.json", push)
    assert row(run)[5] == "quay.io/me/x:2026.11.22-1"


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"format": 2}'])
def test_a_record_that_cannot_be_read_counts_as_none(run: Settings, text: str) -> None:
    built(run)
    (run.work / ID / "push.json").write_text(text)
    (run.work / ID / "smoke.json").write_text(text)
    assert row(run)[4:] == ("not tried", "")


def test_an_entry_is_json(run: Settings) -> None:
    built(run)
    tried(run, "ok")
    assert json.loads(json.dumps(report.entry(run.work, ID).as_json()))["smoke"]["checks"][0]["status"] == "ok"


def test_clean_removes_records_and_leaves_the_cache(run: Settings) -> None:
    built(run)
    (run.cache / "files").mkdir(parents=True)
    done = list(clean.clean(run, cache=False))
    assert [r.path for r in done] == [run.work / ID]
    assert done[0].bytes > 0
    assert not (run.work / ID).exists()
    assert (run.cache / "files").exists()


def test_clean_removes_folders_of_images_the_matrix_has_no_more(run: Settings) -> None:
    (run.work / "musllinux_0_9_vax").mkdir(parents=True)
    assert [r.path.name for r in clean.clean(run, cache=False)] == ["musllinux_0_9_vax"]


def test_an_image_that_is_being_built_stays(run: Settings) -> None:
    built(run)
    with FileLock(run.work / ID / ".lock"):
        done = list(clean.clean(run, cache=False))
    assert [(r.path.name, r.why) for r in done] == [(ID, "in use by another run")]
    assert (run.work / ID / "build.json").exists()


def test_with_cache_only_what_is_ours_goes(run: Settings) -> None:
    for name in ("files", "projects", "precious"):
        (run.cache / name).mkdir(parents=True)
    (run.cache / "files" / "read-only").mkdir()
    (run.cache / "files" / "read-only" / "f").touch()
    (run.cache / "files" / "read-only").chmod(0o500)
    assert [r.path.name for r in clean.clean(run, cache=True)] == ["files", "projects"]
    assert [path.name for path in run.cache.iterdir()] == ["precious"]
