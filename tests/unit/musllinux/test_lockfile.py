"""lock.yaml: what it pins, and that a broken one is refused with every mistake."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musllinux.lockfile import LockError, load

from .factory import ROOT, shipped

LOCK = ROOT / "lock.yaml"


def refused(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(LockError) as caught:
        load(path)
    assert "musllinux lock" in caught.value.hint
    return caught.value.message.replace(f"{path.parent}/", "").splitlines()


def test_every_series_and_every_release_the_matrix_names_is_locked() -> None:
    lock, matrix = load(LOCK).upstream, shipped()
    assert set(lock.cpython) == {i.series for i in matrix.interpreters.values()}
    named = {r for policy in matrix.policies.values() for r in (policy.alpine, *policy.trials)}
    assert set(lock.bases) == named


def test_each_archive_is_named_as_on_python_org() -> None:
    for archive in load(LOCK).upstream.cpython.values():
        assert archive.file == f"Python-{archive.version}.tar.xz"


def test_every_architecture_of_every_base_has_the_checksum_of_alpines_tarball() -> None:
    names = {a.apk for a in shipped().architectures.values()}
    for base in load(LOCK).upstream.bases.values():
        assert set(base.minirootfs) == names


def test_a_digest_is_either_absent_or_whole(tmp_path: Path) -> None:
    text = LOCK.read_text().replace('digest: ""', f"digest: sha256:{'a' * 64}", 1)
    (tmp_path / "lock.yaml").write_text(text)
    assert load(tmp_path / "lock.yaml").upstream.bases["3.12"].digest == f"sha256:{'a' * 64}"
    (found,) = refused(tmp_path / "lock.yaml", LOCK.read_text().replace('digest: ""', "digest: sha256:abc", 1))
    assert "upstream.bases.3.12.digest" in found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("format: 1", "format: 2", "lock.yaml:2: format: 2 (a number); allowed: 1"),
        ("version: 3.9.25", "version: 3.10.25", "upstream.cpython.3.9.version: 3.10.25 under 3.9"),
        ("file: Python-3.9.25", "file: Python-3.9.24", "Python-3.9.24.tar.xz is not of 3.9.25"),
        ("file: Python-3.9.25.tar.xz", "file: ../x", "allowed: a name such as Python-3.14.6.tar.xz"),
        ("sha256: 00e07d", "sha256: 00E07D", "allowed: a SHA-256 of 64 hexadecimal digits"),
        ("version: 3.12.12\n", "version: 3.13.12\n", "upstream.bases.3.12.version: 3.13.12 under 3.12"),
        ("  cpython:", "  python:", "upstream.python: unknown key; allowed: one of: cpython, bases (did you mean"),
        ('    "3.9":', "    3.9:", 'key 3.9 is not text; allowed: "3.9", in quotes'),
        ("reference: docker.io/library/alpine:3.12.12", "reference: alpine", "an image reference with its tag"),
    ],
)
def test_a_broken_lock_is_refused_with_line_and_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = LOCK.read_text()
    assert old in text
    assert any(expected in line for line in refused(tmp_path / "lock.yaml", text.replace(old, new, 1)))


def test_an_absent_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="no such file"):
        load(tmp_path / "lock.yaml")


@given(data=st.binary(max_size=200))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_refused_without_a_traceback(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "lock.yaml").write_bytes(data)
    with pytest.raises(LockError):
        load(tmp_path / "lock.yaml")
