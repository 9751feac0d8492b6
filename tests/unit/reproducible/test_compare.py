"""compare: every way in which two images can differ is seen, and times are not."""

import io
import tarfile
from collections.abc import Callable

import pytest
from tests.reproducible.compare import Entry, differences, entries


def files(change: Callable[[tarfile.TarInfo], None] = lambda _: None, content: bytes = b"x") -> dict[str, Entry]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("usr/bin/x")
        member.size, member.mode, member.mtime = len(content), 0o755, 1
        change(member)
        tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("usr/bin/y")
        link.type, link.linkname = tarfile.SYMTYPE, "x"
        tar.addfile(link)
        engines = tarfile.TarInfo(".dockerenv")
        tar.addfile(engines)
    return entries(io.BytesIO(buffer.getvalue()))


def test_times_and_what_the_engine_adds_are_not_looked_at() -> None:
    assert list(differences(files(), files(lambda m: setattr(m, "mtime", 99)))) == []
    assert sorted(files()) == ["usr/bin/x", "usr/bin/y"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mode", 0o4755, "usr/bin/x: mode 0755 / 4755"),
        ("uid", 7, "usr/bin/x: owner 0:0 / 7:0"),
        ("name", "usr/bin/z", "only in the first: usr/bin/x"),
    ],
)
def test_modes_owners_and_names_are(name: str, value: object, said: str) -> None:
    assert said in list(differences(files(), files(lambda m: setattr(m, name, value))))


def test_contents_are() -> None:
    (found,) = differences(files(), files(content=b"y"))
    assert found.startswith("usr/bin/x: content ")
