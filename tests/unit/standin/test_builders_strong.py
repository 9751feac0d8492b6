"""Weak references made strong: those that are meant, in every member, and nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest

from standin.builders.strong import strengthen
from standin.errors import StandinError

pytestmark = pytest.mark.skipif(not shutil.which("as") or not shutil.which("ar"), reason="no binutils here")

FIRST = ".weak pthread_once\n.weak other\n.quad pthread_once, other, pthread_join\n"
SECOND = ".weak pthread_mine\npthread_mine: .quad pthread_once\n.weak pthread_once\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    made = tmp_path / "lib.a"
    for name, text in (("odd-name-that-is-long.o", FIRST), ("b.o", SECOND)):
        subprocess.run(["as", "-o", name, "-"], input=text.encode(), cwd=tmp_path, check=True)
        subprocess.run(["ar", "rcs", made.name, name], cwd=tmp_path, check=True)
    return made


def symbols(archive: Path) -> list[str]:
    done = subprocess.run(["nm", "-P", archive.name], cwd=archive.parent, check=True, capture_output=True, text=True)
    return sorted(" ".join(line.split()[:2]) for line in done.stdout.splitlines() if not line.endswith(":"))


def test_undefined_names_of_the_prefix_become_plain_and_others_stay(archive: Path) -> None:
    assert symbols(archive) == ["other w", "pthread_join U", "pthread_mine W", "pthread_once w", "pthread_once w"]
    size = archive.stat().st_size
    strengthen(archive, "pthread_")
    assert symbols(archive) == ["other w", "pthread_join U", "pthread_mine W", "pthread_once U", "pthread_once U"]
    assert archive.stat().st_size == size


def test_an_archive_with_nothing_to_change_is_refused(archive: Path) -> None:
    with pytest.raises(StandinError, match="asks for nothing called mtx_… weakly"):
        strengthen(archive, "mtx_")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(StandinError, match="x is no archive"):
        strengthen(tmp_path / "x", "pthread_")
