import json
import os
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from musllinux import clean, cli, record, report
from musllinux.alone import emptying, sharing
from musllinux.cli import main
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


@contextmanager
def another_run(cache: Path, how: str = "sharing") -> Iterator[subprocess.Popen[str]]:
    """A second process that shares the cache (or empties it) until it is told to end."""
    script = f"""
import sys
from pathlib import Path
from musllinux import alone
with alone.{how}(Path(sys.argv[1])) as why:
    print(why or "in", flush=True)
    sys.stdin.readline()
"""
    argv = [sys.executable, "-c", script, str(cache)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        try:
            yield process
        finally:
            process.kill()


def filled(run: Settings) -> None:
    for name in ("files", "standin"):
        (run.cache / name).mkdir(parents=True)
        (run.cache / name / "f").touch()


def test_a_cache_that_another_run_uses_stays_and_so_does_the_stand_in(
    run: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(run)
    monkeypatch.setattr(clean, "_standin", lambda _: pytest.fail("the stand-in is stopped"))
    with another_run(run.cache) as other, another_run(run.cache) as third:
        done = list(clean.clean(run, cache=True))
    assert [r.path.name for r in done] == ["files", "standin"]
    for one in done:
        assert one.why.startswith("in use by process ")
        assert f"process {other.pid} (" in one.why
        assert f"process {third.pid} (" in one.why
    assert (run.cache / "files" / "f").exists()


def test_what_stays_is_said_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSLLINUX_CACHE", str(tmp_path))
    (tmp_path / "files").mkdir()
    argv = ["clean", "--cache", "musllinux_1_2_x86_64"]
    monkeypatch.setattr(clean, "_ids", lambda _: [])
    with another_run(tmp_path):
        assert main(argv) == 1
    assert f"stays: {tmp_path}/files: in use by process" in capsys.readouterr().out
    assert main(argv) == 0


def test_a_killed_run_is_in_nobodys_way(run: Settings) -> None:
    filled(run)
    with another_run(run.cache) as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert [r.why for r in clean.clean(run, cache=True)] == ["", ""]
    assert list(run.cache.iterdir()) == []


def test_a_program_that_a_run_has_left_behind_does_not_hold_the_cache(run: Settings) -> None:
    """The stand-in's servers outlive the run that has started them."""
    filled(run)
    with sharing(run.cache):
        left = subprocess.Popen(["sleep", "60"])
    try:
        assert [r.why for r in clean.clean(run, cache=True)] == ["", ""]
    finally:
        left.kill()
        left.wait()


def test_a_run_waits_until_the_cache_is_emptied(run: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with another_run(run.cache, "emptying") as other:
        assert other.stdin is not None
        with emptying(run.cache) as why:
            assert why.startswith(f"in use by process {other.pid} (")
        ended = threading.Event()

        def end() -> None:
            ended.set()
            other.kill()

        timer = threading.Timer(0.3, end)
        timer.start()
        with sharing(run.cache):
            assert ended.is_set()
        timer.join()
    assert "another run is emptying the cache: waiting for it" in capsys.readouterr().err


def test_a_cache_that_cannot_be_made_is_for_whoever_needs_it_to_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with sharing(tmp_path / "file" / "cache"):
        pass


@pytest.mark.parametrize("verb", ["build", "smoke", "lock", "standin up", "list", "report"])
def test_the_verbs_that_use_the_cache_hold_it(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def command(_: Namespace) -> int:
        with emptying(tmp_path) as why:
            seen.append(why)
        return 0

    monkeypatch.setenv("MUSLLINUX_CACHE", str(tmp_path))
    monkeypatch.setattr(cli, "_command", lambda _: command)
    assert main(verb.split()) == 0
    assert bool(seen[0]) == (verb not in ("list", "report"))
