"""secretfile: a program started here reads it, nobody else finds it, and nothing is left of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from musllinux.run import run
from musllinux.secretfile import held


def test_a_program_reads_it_as_often_as_it_wants() -> None:
    with held({"a": b"s3cret", "b": b""}) as secrets:
        argv: list[str | Path] = ["cat", secrets.paths["a"], secrets.paths["b"], secrets.paths["a"]]
        assert run(argv, pass_fds=secrets.fds).output == "s3crets3cret"
    assert not any(Path(f"/proc/self/fd/{fd}").exists() for fd in secrets.fds)


def test_without_memory_files_it_is_a_file_of_this_user_alone_and_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with held({"a": b"s3cret"}) as secrets:
        path = secrets.paths["a"]
        assert path.stat().st_mode & 0o777 == 0o600
        assert run(["cat", path]).output == "s3cret"
    assert not path.exists()


def test_kill_leaves_nothing_in_any_folder(tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom musllinux.secretfile import held\n"
        "with held({'a': b's3cret'}):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert list(tmp_path.iterdir()) == []
