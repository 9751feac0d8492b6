"""mounted: an engine finds the files, no other user reads them, and the next run removes what a killed one left."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from musllinux.errors import FactoryError
from musllinux.smoke import cratesconfig, mounted, pipconfig
from musllinux.smoke.mounted import held, sweep

HOLDS = (
    "import os, signal, sys\nfrom pathlib import Path\nfrom musllinux.smoke import mounted\n"
    "mounted.MEMORY = Path(sys.argv[1])\n"
    "with mounted.held({'conf': b's3cret'}):\n    print('held', flush=True)\n    sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(mounted, "MEMORY", tmp_path / "shm")
    return tmp_path / "shm"


@pytest.fixture
def other(memory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another run that holds a secret until it is killed."""
    argv = [sys.executable, "-c", HOLDS, str(memory)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_files_are_in_memory_for_this_user_alone_and_gone_afterwards(memory: Path) -> None:
    with held({"conf": b"s3cret"}) as files:
        folder = files["conf"].parent
        assert folder.parent == memory
        assert folder.stat().st_mode & 0o777 == 0o700
        assert files["conf"].read_bytes() == b"s3cret"
        assert files["conf"].stat().st_mode & 0o777 == 0o644  # whoever a container runs as
    assert list(memory.iterdir()) == []


def test_where_there_is_no_folder_in_memory_it_is_the_temporary_one(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.rmdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with held({"conf": b"s3cret"}) as files:
        assert files["conf"].parent.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_the_next_run_removes_what_a_killed_one_has_left_and_not_what_another_holds(
    memory: Path, other: subprocess.Popen[bytes]
) -> None:
    sweep()
    (folder,) = memory.iterdir()
    assert (folder / "conf").read_bytes() == b"s3cret"
    other.kill()
    other.wait()
    assert (folder / "conf").exists()
    sweep()
    assert list(memory.iterdir()) == []


@pytest.mark.usefixtures("other")
def test_holding_sweeps_too(memory: Path, other: subprocess.Popen[bytes]) -> None:
    other.kill()
    other.wait()
    with held({"conf": b"mine"}):
        assert len(list(memory.iterdir())) == 1


def test_folders_that_are_made_while_others_sweep_stay(memory: Path) -> None:
    def once(number: int) -> bool:
        with held({"conf": str(number).encode()}) as files:
            return files["conf"].read_bytes() == str(number).encode()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(once, range(400)))
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize("moment", ["tempfile.mkdtemp", "fcntl.flock"])
def test_a_folder_that_is_swept_before_it_is_held_is_made_again(
    memory: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    module, _, name = moment.partition(".")
    real = getattr(sys.modules[module], name)
    swept: list[Path] = []

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        made = real(*arguments, **named)
        if not swept:
            swept.extend(memory.iterdir())
            swept[0].rmdir()
        return made

    monkeypatch.setattr(moment, meanwhile)
    with held({"conf": b"s3cret"}) as files:
        assert files["conf"].read_bytes() == b"s3cret"
        assert files["conf"].parent not in swept


def test_links_and_what_has_another_name_are_left_alone(memory: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (memory / f"{mounted.PREFIX}link").symlink_to(tmp_path / "kept")
    (memory / "other").mkdir()
    sweep()
    assert (tmp_path / "kept").is_dir()
    assert {path.name for path in memory.iterdir()} == {f"{mounted.PREFIX}link", "other"}


def test_a_folder_that_takes_nothing_is_one_line_that_names_it(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FactoryError, match=f"{memory}: No space left on device"), held({"conf": b"s3cret"}):
        pass
    assert list(memory.iterdir()) == []


def test_pips_and_cargos_configurations_are_held_there(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:s3cret@index.example/simple")
    with cratesconfig.prepared() as mounts:
        assert {mount.source.parent.parent for mount in mounts} == {memory}
        assert {pipconfig.CONF, cratesconfig.CONFIG} <= {mount.target for mount in mounts}
        assert any("s3cret" in mount.source.read_text() for mount in mounts)
    assert list(memory.iterdir()) == []
