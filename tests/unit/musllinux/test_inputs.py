"""inputs: downloads from a server on loopback that is good, slow, broken or lying; the cache stays right."""

import base64
import datetime as dt
import gzip
import hashlib
import ipaddress
import os
import resource
import signal
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from musllinux import inputs, web
from musllinux.errors import FactoryError
from musllinux.model import Archive, Supply, resolve
from musllinux.toollock import Wheel

from .factory import ROOT, everything, shipped
from .server import Answer, Served, free_port, serving, until

BODY = b"Python, as it were. " * 4096
SUM = hashlib.sha256(BODY).hexdigest()
ARCHIVE = Archive(version="3.14.6", file="Python-3.14.6.tar.xz", sha256=SUM)
PATH = "/3.14.6/Python-3.14.6.tar.xz"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(web, "WAITS", ())
    with serving() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def supply(url: str) -> Supply:
    return replace(everything(shipped()), python=url)


def fetch(cache: Path, url: str, archive: Archive = ARCHIVE, ca: Path | None = None) -> Path:
    return inputs.cpython_archive(cache, supply(url), archive, lambda _: None, ca)


def refused(cache: Path, url: str, ca: Path | None = None) -> FactoryError:
    with pytest.raises(FactoryError) as caught:
        fetch(cache, url, ca=ca)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# --- what is right --------------------------------------------------------------------------------------------------


def test_an_archive_is_downloaded_once_and_stands_under_its_sum(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer(body=BODY)
    said: list[str] = []
    first = inputs.cpython_archive(cache, supply(served.url), ARCHIVE, said.append, None)
    again = inputs.cpython_archive(cache, supply(served.url), ARCHIVE, said.append, None)
    assert first == again == cache / "files" / SUM[:2] / SUM / ARCHIVE.file
    assert first.read_bytes() == BODY
    assert served.paths == [PATH]
    assert said == ["downloading Python-3.14.6.tar.xz"]
    assert files(cache) == [first]


@pytest.mark.parametrize(
    ("version", "folder"),
    [("3.15.0", "3.15.0"), ("3.15.0b3", "3.15.0"), ("3.15.0rc1", "3.15.0"), ("3.15.0a7", "3.15.0")],
)
def test_prereleases_lie_in_their_releases_folder(cache: Path, served: Served, version: str, folder: str) -> None:
    archive = Archive(version=version, file=f"Python-{version}.tgz", sha256=SUM)
    served.answers[f"/{folder}/{archive.file}"] = Answer(body=BODY)
    assert fetch(cache, served.url, archive).name == archive.file


@pytest.mark.parametrize("spoilt", [b"", BODY[:-1], BODY + b"x", BODY.replace(b"as", b"is")])
def test_what_the_disk_spoilt_in_the_cache_is_downloaded_again(cache: Path, served: Served, spoilt: bytes) -> None:
    served.answers[PATH] = Answer(body=BODY)
    place = fetch(cache, served.url)
    place.write_bytes(spoilt)
    assert fetch(cache, served.url).read_bytes() == BODY
    assert len(served.asked) == 2


def test_the_archive_itself_is_checked_and_not_a_compressed_form_of_it(cache: Path, served: Served) -> None:
    """Servers that compress on the fly do so only for who says he can take it."""
    served.answers[PATH] = Answer(body=BODY)
    fetch(cache, served.url)
    assert served.asked[0][1].get("Accept-Encoding") == "identity"


def test_what_a_server_marks_as_compressed_is_taken_as_it_is(cache: Path, served: Served) -> None:
    """Apache sends .tgz with Content-Encoding: x-gzip unless told otherwise; the sum is that of the .tgz."""
    body = gzip.compress(BODY)
    archive = replace(ARCHIVE, sha256=hashlib.sha256(body).hexdigest())
    served.answers[PATH] = Answer(body=body, headers={"Content-Encoding": "gzip"})
    assert fetch(cache, served.url, archive).read_bytes() == body


def test_a_redirect_is_followed(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer(status=302, headers={"Location": "/elsewhere"})
    served.answers["/elsewhere"] = Answer(body=BODY)
    assert fetch(cache, served.url).read_bytes() == BODY


def test_credentials_of_the_url_reach_the_server(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer(body=BODY)
    fetch(cache, served.url.replace("://", "://reader:s3cret@"))
    assert served.asked[0][1]["Authorization"] == "Basic " + base64.b64encode(b"reader:s3cret").decode()


def test_cached_files_can_be_read_by_everybody(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer(body=BODY)
    assert fetch(cache, served.url).stat().st_mode & 0o777 == 0o644


def test_a_server_that_fails_once_is_asked_again(cache: Path, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.answers[PATH] = Answer(status=503)

    def recovered(_: float) -> None:
        served.answers[PATH] = Answer(body=BODY)

    monkeypatch.setattr(web, "WAITS", (1, 3))
    monkeypatch.setattr(time, "sleep", recovered)
    assert fetch(cache, served.url).read_bytes() == BODY
    assert served.paths == [PATH, PATH]


# --- what is wrong --------------------------------------------------------------------------------------------------


def test_a_wrong_checksum_names_both_sums_and_leaves_nothing(cache: Path, served: Served) -> None:
    other = b"not what was locked"
    served.answers[PATH] = Answer(body=other)
    message = refused(cache, served.url).message
    assert message.startswith(f"{served.url}{PATH}: wrong checksum: ")
    assert SUM in message
    assert hashlib.sha256(other).hexdigest() in message
    assert "removed" in message
    assert files(cache) == []


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_a_servers_refusal_is_said_with_its_number(cache: Path, served: Served, status: int) -> None:
    served.answers[PATH] = Answer(status=status)
    message = refused(cache, served.url).message
    assert message == f"{served.url}{PATH}: the server answered {status}"
    assert files(cache) == []


def test_a_body_cut_off_is_no_file(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer(body=BODY[:1000], length=len(BODY))
    assert refused(cache, served.url).message == f"{served.url}{PATH}: the connection broke off"
    assert files(cache) == []


def test_an_empty_body_is_a_wrong_checksum(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer()
    assert "wrong checksum" in refused(cache, served.url).message
    assert files(cache) == []


@pytest.mark.parametrize("answer", [Answer(body=BODY, stall=30), Answer(body=b"", length=10, stall=30)])
def test_a_server_that_falls_silent_is_left_after_the_timeout(
    cache: Path, served: Served, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(web, "TIMEOUT", (1, 0.2))
    served.answers[PATH] = answer
    assert (
        refused(cache, served.url).message
        == f"{served.url}{PATH}: no answer in time (1 s to connect, 0.2 s for more data)"
    )
    assert files(cache) == []


def test_a_port_where_nobody_listens_is_not_reachable(cache: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    error = refused(cache, url)
    assert error.message == f"{url}{PATH}: not reachable"
    assert "proxy" in error.hint
    assert files(cache) == []


@pytest.mark.parametrize(
    ("written", "authorization"),
    [
        ("http://me:s3cret%40@{host}", "Basic bWU6czNjcmV0QA=="),
        ("me:s3cret%40@{host}", "Basic bWU6czNjcmV0QA=="),
        ("{host}", None),
    ],
)
def test_a_proxy_may_be_written_without_http(
    cache: Path, served: Served, monkeypatch: pytest.MonkeyPatch, written: str, authorization: str | None
) -> None:
    monkeypatch.setenv(
        "http_proxy", written.format(host=served.url.removeprefix("http://").replace("127.0.0.1", "localhost"))
    )
    monkeypatch.setenv("no_proxy", "near.invalid")
    served.answers[f"http://far.invalid{PATH}"] = Answer(body=BODY)
    assert fetch(cache, "http://far.invalid").read_bytes() == BODY
    ((_, headers),) = served.asked
    assert headers.get("Proxy-Authorization") == authorization
    with pytest.raises(FactoryError, match="not reachable"):
        web.head("http://near.invalid/", None, (1, 1))
    assert len(served.asked) == 1


def test_something_that_does_not_speak_http_is_one_line(cache: Path, served: Served) -> None:
    assert served.url in refused(cache, served.url.replace("http:", "https:")).message.replace("https:", "http:")


@pytest.mark.parametrize("answer", [Answer(body=b"x"), Answer(status=404), Answer(body=b"x", length=9)])
def test_credentials_of_the_url_are_never_shown(cache: Path, served: Served, answer: Answer) -> None:
    served.answers[PATH] = answer
    error = refused(cache, served.url.replace("://", "://reader:s3cret@"))
    assert "s3cret" not in error.message + error.hint
    assert "reader" not in error.message + error.hint
    assert "://***@127.0.0.1" in error.message


def test_credentials_are_not_shown_where_nobody_listens(cache: Path) -> None:
    error = refused(cache, f"http://reader:s3cret@127.0.0.1:{free_port()}")
    assert "s3cret" not in error.message + error.hint


def test_a_cache_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path, served: Served) -> None:
    (tmp_path / "file").write_text("in the way")
    error = refused(tmp_path / "file/cache", served.url)
    assert str(tmp_path / "file/cache") in error.message
    assert "MUSLLINUX_CACHE" in error.hint
    assert served.asked == []


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes: the nearest thing to a full disk without a disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_with_the_remedy_and_nothing_is_left(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer(body=BODY)
    with room_for(4096):
        error = refused(cache, served.url)
    assert str(cache) in error.message
    assert "File too large" in error.message
    assert "MUSLLINUX_CACHE" in error.hint
    assert files(cache) == []


# --- at the same time, and ended in the middle ----------------------------------------------------------------------


def test_two_downloads_at_once_both_end_with_the_right_file(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer(body=BODY, stall=0.3)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(fetch(cache, served.url).read_bytes())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [BODY] * 3
    assert len(served.asked) > 1, "they did not overlap"
    assert files(cache) == [inputs.cached(cache, SUM, ARCHIVE.file)]


CHILD = """
import sys
from pathlib import Path
from tests.unit.musllinux.test_inputs import fetch
fetch(Path(sys.argv[1]), sys.argv[2])
"""


def test_what_a_killed_download_leaves_is_never_used(cache: Path, served: Served) -> None:
    served.answers[PATH] = Answer(body=BODY, stall=60)
    path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    argv = [sys.executable, "-c", CHILD, str(cache), served.url]
    with subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": path}) as child:
        until(lambda: served.asked and files(cache), seconds=60)
        child.send_signal(signal.SIGKILL)
    place = inputs.cached(cache, SUM, ARCHIVE.file)
    assert not place.exists()
    served.answers[PATH] = Answer(body=BODY)
    assert fetch(cache, served.url).read_bytes() == BODY


def test_ctrl_c_leaves_nothing(cache: Path, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.answers[PATH] = Answer(body=BODY)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inputs, "_check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(cache, served.url)
    assert files(cache) == []


# --- certificates ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "ca.pem", folder / "key.pem"


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[Served]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving(context) as server:
        yield server


def test_a_private_ca_is_trusted_where_its_bundle_is_given(
    cache: Path, secure: Served, certificate: tuple[Path, Path]
) -> None:
    secure.answers[PATH] = Answer(body=BODY)
    assert fetch(cache, secure.url, ca=certificate[0]).read_bytes() == BODY


def test_an_unknown_certificate_is_said_and_the_bundles_variable_hinted_at(cache: Path, secure: Served) -> None:
    error = refused(cache, secure.url)
    assert error.message == f"{secure.url}{PATH}: its certificate is not trusted"
    assert "SSL_CERT_FILE" in error.hint
    assert secure.asked == []


# --- wheels, through pip --------------------------------------------------------------------------------------------

IMAGES = {image.id: image for image in resolve(shipped(), everything(shipped()))}
FILE = "made_up-1.0-cp314-cp314t-musllinux_1_1_s390x.whl"


@pytest.fixture
def index(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """An index of its own for pip, with one wheel of a foreign architecture."""
    wheel = tmp_path / FILE
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("made_up.py", "")
        made.writestr("made_up-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
        made.writestr("made_up-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp314-cp314t-musllinux_1_1_s390x\n")
        made.writestr("made_up-1.0.dist-info/RECORD", "")
    served.answers[f"/files/{FILE}"] = Answer(body=wheel.read_bytes())
    listing = f'<!DOCTYPE html><a href="/files/{FILE}">{FILE}</a>'
    served.answers["/simple/made-up/"] = Answer(body=listing.encode(), headers={"Content-Type": "text/html"})
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{served.url.replace('://', '://reader:s3cret@')}/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return served


def made_up(index: Served, **changes: str) -> Wheel:
    sha256 = hashlib.sha256(index.answers[f"/files/{FILE}"].body).hexdigest()
    return replace(Wheel(project="made-up", version="1.0", file=FILE, sha256=sha256), **changes)


def fetch_wheels(cache: Path, *wanted: Wheel, report: Callable[[str], None] = lambda _: None) -> list[Path]:
    image = IMAGES["musllinux_1_2_s390x"]
    python = next(python for python in image.interpreters if python.tag == "cp314-cp314t")
    return inputs.wheels(cache, image, python, wanted, report)


def test_wheels_of_another_architecture_come_through_the_users_own_pip_once(cache: Path, index: Served) -> None:
    said: list[str] = []
    (first,) = fetch_wheels(cache, made_up(index), report=said.append)
    (again,) = fetch_wheels(cache, made_up(index), report=said.append)
    assert first == again
    assert first.name == FILE
    assert first.read_bytes() == index.answers[f"/files/{FILE}"].body
    assert index.paths.count(f"/files/{FILE}") == 1
    assert said == ["downloading made-up"]
    assert files(cache) == [first]


def test_a_wheel_that_is_not_what_is_locked_is_refused(cache: Path, index: Served) -> None:
    with pytest.raises(FactoryError) as caught:
        fetch_wheels(cache, made_up(index, sha256="0" * 64))
    assert "made-up" in caught.value.message.splitlines()[0]
    assert "pip config" in caught.value.hint
    assert "s3cret" not in caught.value.message
    assert files(cache) == []


def test_a_wheel_that_the_index_lacks_is_named_without_the_indexs_credentials(cache: Path, index: Served) -> None:
    index.answers.clear()
    with pytest.raises(FactoryError) as caught:
        fetch_wheels(cache, made_up(Served(url="", answers={f"/files/{FILE}": Answer()})))
    assert "made-up" in caught.value.message.splitlines()[0]
    assert "s3cret" not in caught.value.message
    assert files(cache) == []


def test_a_wheel_spoilt_in_the_cache_is_fetched_again(cache: Path, index: Served) -> None:
    (place,) = fetch_wheels(cache, made_up(index))
    place.write_bytes(b"")
    assert fetch_wheels(cache, made_up(index)) == [place]
    assert place.stat().st_size


def test_nothing_is_asked_where_nothing_is_missing(cache: Path, index: Served) -> None:
    assert fetch_wheels(cache) == []
    assert index.asked == []


def test_a_cache_for_wheels_that_cannot_be_made_is_named(tmp_path: Path, index: Served) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FactoryError, match=f"{tmp_path}/file") as caught:
        fetch_wheels(tmp_path / "file/cache", made_up(index))
    assert "MUSLLINUX_CACHE" in caught.value.hint
    assert index.asked == []
