"""Which commit an image's labels name, and which time."""

import subprocess
from pathlib import Path

import pytest

from musllinux import build, revision
from musllinux.cli import main
from musllinux.errors import UsageError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit, of the second 86400 after 1970."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_COMMITTER_DATE", "@86400 +0000")
    (tmp_path / "file").write_text("as committed")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "--quiet"], ["add", "file"], [*who, "commit", "--quiet", "--no-gpg-sign", "-m", "x"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    return tmp_path


@pytest.fixture
def tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


UNKNOWN = {
    revision.REVISION: "unknown",
    "org.opencontainers.image.created": "1970-01-01T00:00:00+00:00",
    "org.opencontainers.image.version": "1970.01.01",
}


def test_labels_are_of_the_commit(repository: Path) -> None:
    labels = revision.labels(repository)
    assert len(labels[revision.REVISION]) == 40
    assert labels["org.opencontainers.image.created"] == "1970-01-02T00:00:00+00:00"
    assert labels["org.opencontainers.image.version"] == "1970.01.02"


def test_a_change_since_the_commit_is_told(repository: Path) -> None:
    commit = revision.labels(repository)[revision.REVISION]
    (repository / "file").write_text("changed")
    assert revision.labels(repository)[revision.REVISION] == f"{commit}-modified"


def test_a_tarball_is_of_an_unknown_commit_and_not_modified(tarball: Path) -> None:
    assert revision.labels(tarball) == UNKNOWN


def test_where_there_is_no_git_the_commit_is_unknown(tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tarball))
    assert revision.labels(tarball) == UNKNOWN


@pytest.mark.parametrize(
    ("said", "created"), [("3600", "1970-01-01T01:00:00+00:00"), ("", "1970-01-02T00:00:00+00:00")]
)
def test_another_time_may_be_named(repository: Path, said: str, created: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", said)
    assert revision.labels(repository)["org.opencontainers.image.created"] == created


@pytest.mark.parametrize("said", ["today", "-1", "1.5", "1_000", "²", "9" * 12, "9" * 5000])
def test_a_time_that_is_no_number_of_seconds_is_bad_usage(
    tarball: Path, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", said)
    with pytest.raises(UsageError, match=r"^SOURCE_DATE_EPOCH=") as caught:
        revision.labels(tarball)
    assert "git show -s --format=%ct" in caught.value.hint


def test_a_wrong_time_is_said_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(*_: object) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(build, "find_client", start)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    assert main(["build"]) == 2
    assert capsys.readouterr().err.startswith("musllinux: SOURCE_DATE_EPOCH=today: ")
