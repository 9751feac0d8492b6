"""The cache: whole products or none, whoever races and whoever dies."""

import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import Timeout
from hypothesis import given
from hypothesis import strategies as st

from standin.cache import Cache, default_root, digest_of, remove_tree, write_atomically
from standin.errors import StandinError


def _race(root: str, number: int) -> int:
    """Ask for one product; the number of builds this process did."""
    built = 0

    def build(folder: Path) -> None:
        nonlocal built
        built += 1
        (folder / "who").write_text(str(number))
        time.sleep(0.05)
        (folder / "done").touch()

    product = Cache(Path(root)).product("shared", build)
    assert (product / "done").exists()
    return built


def test_of_processes_that_ask_at_once_one_builds_and_all_get_the_whole_product(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        built = pool.starmap(_race, [(str(tmp_path), number) for number in range(8)])
    assert sum(built) == 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_of_threads_that_ask_at_once_one_builds(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda number: _race(str(tmp_path), number), range(8)))
    assert sum(built) == 1


def test_a_build_that_fails_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise StandinError("no")

    with pytest.raises(StandinError, match="no"):
        cache.product("key", fail)
    assert cache.find("key") is None
    assert list((tmp_path / "tmp").iterdir()) == []
    assert cache.product("key", lambda folder: (folder / "whole").touch()) == cache.find("key")


KILLED = """
import sys, time
from pathlib import Path
from standin.cache import Cache
def build(folder):
    (folder / "half").write_text("half")
    print("building", flush=True)
    time.sleep(60)
Cache(Path(sys.argv[1])).product("key", build)
"""


def test_kill_9_in_a_build_leaves_no_product_and_its_remains_are_swept(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "building\n"
        cache = Cache(tmp_path)
        assert cache.sweep() == 0, "a living build's folder was swept"
        os.kill(child.pid, signal.SIGKILL)
    assert cache.find("key") is None
    assert [path.name.partition(".")[0] for path in (tmp_path / "tmp").iterdir()] == ["key"]
    assert cache.sweep() == 1
    assert list((tmp_path / "tmp").iterdir()) == []
    product = cache.product("key", lambda folder: (folder / "whole").touch())
    assert [path.name for path in product.iterdir()] == ["whole"]


def test_a_finished_product_is_not_built_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.product("key", lambda folder: (folder / "first").touch())

    def never(_: Path) -> None:
        raise AssertionError

    assert (cache.product("key", never) / "first").exists()


def test_a_discarded_product_is_gone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.product("key", lambda folder: (folder / "file").touch())
    cache.discard("key")
    cache.discard("never-was")
    assert cache.find("key") is None
    assert list((tmp_path / "tmp").iterdir()) == []


def test_scratch_is_empty_and_vanishes(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.scratch("work") as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").touch()
    assert not folder.exists()


def test_a_lock_that_is_held_is_not_given_twice(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with (
        cache.lock("name"),
        ThreadPoolExecutor(1) as pool,
        pytest.raises(Timeout),
    ):
        pool.submit(lambda: cache.lock("name", timeout=0).__enter__()).result()


def test_write_atomically_replaces_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"one", mode=0o600)
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_trees_without_write_permission_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "tree" / "locked"
    folder.mkdir(parents=True)
    (folder / "file").touch()
    (tmp_path / "tree" / "link").symlink_to("/nowhere")
    folder.chmod(0o500)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_a_cache_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StandinError, match="cannot be made") as caught:
        Cache(tmp_path / "file" / "cache")
    assert "MUSLLINUX_CACHE" in caught.value.hint


def test_the_environment_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSLLINUX_CACHE", str(tmp_path))
    assert default_root() == tmp_path / "standin"


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())))
def test_the_digest_of_a_value_does_not_depend_on_the_order_of_its_keys(value: dict[str, object]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert digest_of(value) == digest_of(backwards) == digest_of(json.loads(json.dumps(value)))
