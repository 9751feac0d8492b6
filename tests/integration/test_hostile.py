"""Full and read-only disks, sources that are gone or lie, a wrong clock: one clear line, a remedy, nothing lost."""

import datetime as dt
import gzip
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.inspector import Authority, Inspector, inspecting
from tests.integration.upstreams import IMAGE, RELEASE, TRIAL, Repository, repository
from tests.upstream import Upstream, on_loopback

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NO_PROXY = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"), "")


@pytest.fixture
def upstream() -> Upstream:
    made = Upstream()
    made.python("3.14.9", b"an archive, as it were" * 200_000)  # 4 MB
    for tag in (f"{RELEASE}.6", f"{TRIAL}.12"):
        made.image("library/alpine", tag, {"linux/amd64": [gzip.compress(b"not a tar", mtime=0)]})
    return made


@pytest.fixture
def place(upstream: Upstream, tmp_path: Path) -> Iterator[Repository]:
    with on_loopback(upstream) as host:
        yield repository(
            tmp_path,
            {**NO_PROXY, "CI": "1"},
            mirror=f"http://{host}/alpine",
            python=f"http://{host}/ftp/python",
            base=f"{host}/library/alpine:{{alpine}}",
        )


@contextmanager
def small_disk(folder: Path, *, size: str = "1m", read_only: bool = False) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    how = f"size={size},{'ro' if read_only else 'rw'}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this user may not mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def changed(place: Repository, **env: str) -> Repository:
    return Repository(root=place.root, overlay=place.overlay, env={**place.env, **env})


def complaint(done: "subprocess.CompletedProcess[str]") -> tuple[str, str]:
    """The line and the remedy of a run that failed; nothing else may be said but progress."""
    assert done.returncode == 1, done.stdout
    lines = [line for line in done.stdout.splitlines() if not line.startswith("[")]
    assert "Traceback" not in done.stdout
    assert len(lines) in (2, 3), done.stdout
    assert lines[0].startswith("musllinux: ")
    assert lines[1].startswith("  hint: ")
    return lines[0], lines[1]


def test_a_full_disk_under_the_cache(place: Repository, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as cache:
        line, hint = complaint(changed(place, MUSLLINUX_CACHE=str(cache)).run("lock", "--only=cpython"))
        assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert f"{tmp_path}/small" in line
    assert "No space left on device" in line
    assert "MUSLLINUX_CACHE" in hint
    assert not place.lock.exists()
    assert place.run("lock", "--only=cpython").returncode == 0


def test_a_read_only_cache(place: Repository, tmp_path: Path) -> None:
    with small_disk(tmp_path / "frozen", read_only=True) as cache:
        line, hint = complaint(changed(place, MUSLLINUX_CACHE=str(cache)).run("lock", "--only=cpython"))
    assert "Read-only file system" in line
    assert "MUSLLINUX_CACHE" in hint


@pytest.mark.needs("engine")
def test_a_full_disk_under_the_repository(place: Repository, tmp_path: Path) -> None:
    assert place.run("lock", "--only=cpython", "--only=bases").returncode == 0
    with small_disk(place.root / "build", size="64k"):
        line, hint = complaint(place.run("build", "--sources=upstream"))
    assert "No space left on device" in line
    assert "make room" in hint
    assert tmp_path.exists()


@pytest.mark.needs("engine")
def test_a_registry_that_is_gone(place: Repository) -> None:
    """Locked, and then nobody listens there any more."""
    assert place.run("lock", "--only=cpython", "--only=bases").returncode == 0
    gone = place.overlay.read_text().split("base: ")[1].split("/")[0]
    place.overlay.write_text(place.overlay.read_text().replace(gone, "127.0.0.1:9"))
    done = place.run("build", "--sources=upstream")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    assert "127.0.0.1:9" in done.stdout
    assert "connection refused" in done.stdout
    assert "hint: does the base's registry answer?" in done.stdout


@pytest.mark.needs("engine")
@pytest.mark.parametrize(("kind", "said"), [("/blobs/", "alpine"), ("/ftp/python/3.14.9/Python", "Python-3.14.9")])
def test_a_tampered_input_stops_the_build_and_names_both_sums(
    place: Repository, upstream: Upstream, tmp_path: Path, kind: str, said: str
) -> None:
    """Locked as it was; since then somebody has changed a byte of it at its source."""
    assert place.run("lock", "--only=cpython", "--only=bases").returncode == 0
    cache = tmp_path / "another"
    for path, content in [(f"/v2/library/alpine/blobs/{d}", b) for d, b in upstream.blobs.items()] + [
        *upstream.files.items()
    ]:
        if kind in path and isinstance(content, bytes):
            upstream.altered[path] = content[:-1] + b"!"
    done = changed(place, MUSLLINUX_CACHE=str(cache)).run("build", "--sources=upstream")
    assert done.returncode == 1
    assert said in done.stdout
    if "Python" in said:
        assert "wrong checksum: locked " in done.stdout
        assert "the file was removed" in done.stdout
        assert list(cache.rglob("*.tar.xz")) == []


def test_a_certificate_of_tomorrow_is_the_clocks_fault(upstream: Upstream, tmp_path: Path) -> None:
    authority = Authority(tmp_path, since=dt.timedelta(days=1))
    inspector = Inspector(upstream=upstream, authority=authority, user="me", password="word")
    with inspecting(inspector):
        place = repository(
            tmp_path,
            {**NO_PROXY, "https_proxy": inspector.url, "CI": "1"},
            mirror="https://dl-cdn.alpinelinux.org/alpine",
            python="https://www.python.org/ftp/python",
            base="docker.io/library/alpine:{alpine}",
        )
        line, hint = complaint(place.run("lock", "--only=cpython", f"--ca-bundle={authority.ca}"))
    assert line.endswith("https://www.python.org/ftp/python/: its certificate is not valid now")
    assert "clock" in hint


def test_an_engine_that_is_not_there(place: Repository) -> None:
    line, hint = complaint(
        changed(place, DOCKER_HOST="unix:///nowhere/docker.sock").run("build", "--sources=upstream", IMAGE)
    )
    assert "no container engine answers at unix:///nowhere/docker.sock" in line
    assert "make setup" in hint
