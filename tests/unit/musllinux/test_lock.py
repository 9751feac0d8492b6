"""lock: what is newest at upstream, by its own layout, into lock.yaml whole or not at all."""

import gzip
import hashlib
import json
import sys
import types
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.upstream import Upstream, bytes_of, digest_of, on_loopback

from musllinux import certificates, lock, lockfile, signature, toollock
from musllinux.cli import main
from musllinux.settings import Settings, from_args

from .factory import ROOT, shipped

PLATFORMS = tuple(f"linux/{name}" for name in ("amd64", "386", "arm/v6", "arm/v7", "arm64/v8", "ppc64le", "s390x"))
NEWEST = {"3.9": "3.9.25", "3.10": "3.10.21", "3.11": "3.11.15", "3.12": "3.12.13", "3.13": "3.13.14", "3.14": "3.14.7"}


@dataclass
class Place:
    """A repository of its own, whose matrix names the miniature upstream."""

    root: Path
    host: str
    upstream: Upstream

    def run(self, *words: str) -> int:
        return main(["lock", *words])

    def overlay(self, text: str) -> Path:
        path = self.root.parent / "mine/overlay.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"extends: default\n{text}")
        return path

    @property
    def lock(self) -> lockfile.LockedUpstream:
        return lockfile.load(self.root / "lock.yaml").upstream

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*") if p.is_file()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "repository"
    (root / "templates").mkdir(parents=True)
    (root / "lock.yaml").write_bytes((ROOT / "lock.yaml").read_bytes())
    monkeypatch.setenv("MUSLLINUX_ROOT", str(root))
    monkeypatch.setenv("MUSLLINUX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr(signature, "available", lambda: False)
    upstream = filled()
    with on_loopback(upstream) as host:
        (root / "matrix.yaml").write_text(pointed((ROOT / "matrix.yaml").read_text(), host))
        yield Place(root=root, host=host, upstream=upstream)


def pointed(matrix: str, host: str) -> str:
    """The shipped matrix with another host in place of upstream's."""
    section = shipped().sources.upstream
    for url in (section.mirror, section.python, f"docker://{section.base}"):
        scheme, _, rest = url.partition("://")
        there = rest.replace(rest.split("/")[0], host, 1)
        matrix = matrix.replace(url, f"http://{there}") if scheme != "docker" else matrix.replace(rest, there)
    return matrix


def filled() -> Upstream:
    """What `lock` looks at, with older and stranger things beside what is newest."""
    upstream = Upstream()
    for version in [*NEWEST.values(), "3.14.6", "3.9.2", "3.9.13", "2.7.18"]:
        upstream.python(version, f"Python {version}".encode())
    for version in ("3.14.8rc1", "3.15.0b3", "3.15.0rc2"):
        upstream.python(version, f"Python {version}".encode(), folder=version.split("rc")[0].split("b")[0])
    for series in ("3.12", "3.13", "3.20", "3.22"):
        for patch in (3, 12, 9):
            layers = {p: [gzip.compress(f"{series}.{patch} {p}".encode(), mtime=0)] for p in PLATFORMS}
            upstream.image("library/alpine", f"{series}.{patch}", layers)
        upstream.tags["library/alpine"][series] = upstream.tags["library/alpine"][f"{series}.12"]
        for arch in ("x86_64", "x86", "aarch64", "armv7", "ppc64le", "s390x"):
            name = f"alpine-minirootfs-{series}.12-{arch}.tar.gz"
            line = f"{hashlib.sha512(name.encode()).hexdigest()}  {name}\n"
            upstream.files[f"/alpine/v{series}/releases/{arch}/{name}.sha512"] = line.encode()
    upstream.tags["library/alpine"].update({"edge": "sha256:" + "0" * 64, "3.220.1": "sha256:" + "0" * 64})
    return upstream


# --- what is found --------------------------------------------------------------------------------------------------


def test_the_newest_release_of_each_series_is_locked_with_its_sum(place: Place) -> None:
    assert place.run("--only=cpython") == 0
    found = {series: archive.version for series, archive in place.lock.cpython.items()}
    assert found == {**NEWEST, "3.15": "3.15.0rc2"}
    assert list(found) == ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
    assert place.lock.cpython["3.14"].sha256 == hashlib.sha256(b"Python 3.14.7").hexdigest()
    assert place.lock.cpython["3.15"].file == "Python-3.15.0rc2.tar.xz"


def test_a_release_that_is_locked_already_keeps_its_sum_and_is_not_downloaded(place: Place) -> None:
    before = place.lock.cpython["3.9"]
    assert place.run("--only=cpython") == 0
    assert place.lock.cpython["3.9"] == before
    assert not [path for path in place.upstream.asked if path.endswith("Python-3.9.25.tar.xz")]


def test_what_lock_has_downloaded_is_in_the_cache_for_the_build(place: Place, tmp_path: Path) -> None:
    assert place.run("--only=cpython") == 0
    sha256 = place.lock.cpython["3.14"].sha256
    assert (tmp_path / "cache/files" / sha256[:2] / sha256 / "Python-3.14.7.tar.xz").read_bytes() == b"Python 3.14.7"


def test_a_first_build_locks_the_bases_that_have_no_digest_and_nothing_else(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = place.lock
    assert not before.bases["3.22"].digest
    settings = from_args(Namespace())
    lock.lock_missing_bases(settings, settings.matrix())
    assert all(place.lock.bases[release].digest for release in lock.releases_of(shipped()))
    assert place.lock.cpython == before.cpython
    assert "commit both" in capsys.readouterr().err


def test_a_base_that_is_locked_stays_and_nobody_is_asked(place: Place) -> None:
    assert place.run("--only=bases") == 0
    before, asked = place.lock, len(place.upstream.asked)
    place.upstream.tags["library/alpine"]["3.22.13"] = place.upstream.tags["library/alpine"]["3.22.12"]
    settings = from_args(Namespace())
    lock.lock_missing_bases(settings, settings.matrix())
    assert (place.lock, len(place.upstream.asked)) == (before, asked)


def test_bases_are_locked_with_the_digests_of_every_platform_and_alpines_sums(place: Place) -> None:
    assert place.run("--only=bases") == 0
    base = place.lock.bases["3.22"]
    assert base.version == "3.22.12"
    index = bytes_of(place.upstream.blobs[base.digest])
    assert digest_of(index) == base.digest
    by_platform = {
        "/".join(m["platform"][k] for k in ("os", "architecture", "variant") if k in m["platform"]): m["digest"]
        for m in json.loads(index)["manifests"]
    }
    assert base.platforms["linux/arm64"] == by_platform["linux/arm64/v8"]
    assert base.platforms["linux/arm/v7"] == by_platform["linux/arm/v7"]
    assert set(base.platforms) == {a.platform for a in shipped().architectures.values()}
    assert base.minirootfs["armv7"] == hashlib.sha512(b"alpine-minirootfs-3.22.12-armv7.tar.gz").hexdigest()


def test_a_token_is_asked_for_as_docker_hub_wants_it(place: Place) -> None:
    assert place.run("--only=bases") == 0
    (asked,) = {path for path in place.upstream.asked if path.startswith("/token")}
    assert "scope=repository%3Alibrary%2Falpine%3Apull" in asked


def test_what_lock_writes_is_what_it_reads_and_renders(place: Place) -> None:
    assert place.run("--only=bases", "--only=cpython") == 0
    path = place.root / "lock.yaml"
    assert lockfile.dump(lockfile.load(path)) == path.read_text()
    assert (
        max(len(line) for line in path.read_text().splitlines() if "minirootfs" not in line and ": " not in line) <= 120
    )


def test_the_committed_lock_is_as_lock_writes_it() -> None:
    path = ROOT / "lock.yaml"
    assert path.read_text() == lockfile.dump(lockfile.load(path))


# --- with an overlay ------------------------------------------------------------------------------------------------

FEWER = """\
architectures: {i686: null, aarch64: null, armv7l: null, ppc64le: null, s390x: null}
interpreters: {cp310-cp310: null, cp315-cp315: null, cp315-cp315t: null}
"""


def test_an_overlay_has_a_lock_of_its_own_and_the_repositorys_stays(place: Place) -> None:
    """Dropped interpreters and architectures would be missing from everybody else's builds."""
    overlay = place.overlay(FEWER)
    before = place.files()
    assert place.run("--only=cpython", "--only=bases", f"--matrix={overlay}") == 0
    assert place.files() == before
    own = lockfile.load(overlay.with_suffix(".lock") / "lock.yaml").upstream
    assert list(own.cpython) == ["3.9", "3.11", "3.12", "3.13", "3.14"]
    assert set(own.bases["3.22"].platforms) == {"linux/amd64"}


def test_a_private_registry_is_named_in_the_overlays_lock_alone(place: Place) -> None:
    host = place.host.replace("127.0.0.1", "localhost")
    overlay = place.overlay(f"sources: {{upstream: {{base: '{host}/library/alpine:{{alpine}}'}}}}\n")
    assert place.run("--only=bases") == 0
    assert place.run("--only=bases", f"--matrix={overlay}") == 0
    assert "localhost" not in (place.root / "lock.yaml").read_text()
    own = lockfile.load(overlay.with_suffix(".lock") / "lock.yaml").upstream
    assert own.bases["3.22"].reference == f"{host}/library/alpine:3.22.12"


def test_an_overlays_tools_are_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that drops cp39 asks for tools that no longer run on it."""
    overlay = place.overlay(FEWER.replace("{cp310", "{cp39-cp39: null, cp310"))
    monkeypatch.setattr(toollock, "resolve", lambda _, __, ___, oldest: f"# {oldest}\n")
    assert place.run("--only=tools") == 0
    before = place.files()
    assert place.run("--only=tools", f"--matrix={overlay}") == 0
    assert place.files() == before
    home = overlay.with_suffix(".lock")
    assert toollock.lock_path(home, "interpreter").read_text() == "# 3.11\n"
    assert not (home / "lock.yaml").exists()


def test_a_sum_that_the_repository_has_locked_counts_for_an_overlays_mirror(place: Place) -> None:
    """Also where the overlay has a lock of its own, from before."""
    overlay = place.overlay("")
    place.upstream.altered["/ftp/python/3.14.7/"] = b""
    assert place.run("--only=cpython", f"--matrix={overlay}") == 0
    place.upstream.altered.clear()
    assert place.run("--only=cpython") == 0
    place.upstream.python("3.14.7", b"something else")
    assert place.run("--only=cpython", f"--matrix={overlay}") == 0
    own = lockfile.load(overlay.with_suffix(".lock") / "lock.yaml").upstream
    assert own.cpython["3.14"] == place.lock.cpython["3.14"]


def test_check_compares_an_overlay_with_its_own_lock(place: Place) -> None:
    overlay = place.overlay(FEWER)
    assert place.run("--check", "--only=cpython", "--only=bases", f"--matrix={overlay}") == 1
    assert place.run("--only=cpython", "--only=bases", f"--matrix={overlay}") == 0
    assert place.run("--check", "--only=cpython", "--only=bases", f"--matrix={overlay}") == 0
    assert place.run("--check", "--only=cpython", "--only=bases") == 1


def test_what_an_overlay_has_locked_counts_for_it_and_else_what_is_shipped(tmp_path: Path) -> None:
    team, mine = tmp_path / "team.yaml", tmp_path / "mine.yaml"
    run = Settings(root=tmp_path / "root", work=tmp_path, cache=tmp_path, overlays=(team, mine))
    assert run.lock_home == tmp_path / "mine.lock"
    assert (run.lock_file, run.tool_locks) == (tmp_path / "root/lock.yaml", tmp_path / "root")
    (tmp_path / "team.lock").mkdir()
    (tmp_path / "team.lock/lock.yaml").touch()
    (tmp_path / "mine.lock/lock").mkdir(parents=True)
    assert (run.lock_file, run.tool_locks) == (tmp_path / "team.lock/lock.yaml", tmp_path / "mine.lock")
    shipped_only = Settings(root=tmp_path / "root", work=tmp_path, cache=tmp_path)
    assert (shipped_only.lock_home, shipped_only.lock_file) == (tmp_path / "root", tmp_path / "root/lock.yaml")


# --- check ----------------------------------------------------------------------------------------------------------


def test_check_names_what_is_newer_writes_nothing_and_fails(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    before = place.files()
    assert place.run("--check", "--only=cpython", "--only=bases") == 1
    said = capsys.readouterr().out
    assert "cpython: 3.14: 3.14.6 -> 3.14.7" in said
    assert "cpython: 3.9" not in said
    assert "bases: 3.22: not locked -> 3.22.12 sha256:" in said
    assert place.files() == before


def test_check_is_silent_after_lock(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("--only=cpython", "--only=bases") == 0
    assert place.run("--check", "--only=cpython", "--only=bases", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"format": 1, "newer": []}


def test_check_sees_an_image_that_was_rebuilt_under_its_tag(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("--only=bases") == 0
    layers = {p: [gzip.compress(b"rebuilt", mtime=0)] for p in PLATFORMS}
    place.upstream.image("library/alpine", "3.22.12", layers)
    assert place.run("--check", "--only=bases") == 1
    assert "bases: 3.22: 3.22.12 sha256:" in capsys.readouterr().out


def test_newer_tools_are_named_with_the_lock_they_are_in(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def text(version: str) -> str:
        return f'[[packages]]\nname = "nox"\nversion = "{version}"\n'

    for name in lock.wanted(shipped()):
        toollock.write(place.root, name, text("2025.5.1"))
    monkeypatch.setattr(toollock, "resolve", lambda _, name, *__: text("2026.1" if name == "nox" else "2025.5.1"))
    assert place.run("--check", "--only=tools") == 1
    assert capsys.readouterr().out == "tools: nox (nox): 2025.5.1 -> 2026.1\n"
    assert place.run("--only=tools") == 0
    assert toollock.versions(toollock.lock_path(place.root, "nox").read_text()) == {"nox": "2026.1"}


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "instead", "said"),
    [
        ("/ftp/python/3.14.7/", b"<html>login</html>", ""),
        ("/ftp/python/", b"<html>login</html>", "no Python 3.9 with a .tar.xz is listed there"),
        ("/v2/library/alpine/tags/list", b"<html>", "serves something else where a registry has a list of tags"),
        ("/v2/library/alpine/tags/list", b'{"tags": ["latest"]}', "has no tag 3.12.N"),
        ("/v2/library/alpine/manifests/3.20.12", b'{"manifests": []}', "has no image for linux/amd64"),
        ("/alpine/v3.13/releases/x86/alpine-minirootfs-3.13.12-x86.tar.gz.sha512", b"<html>", "not a SHA-512"),
        ("/token", b"<html>", "serves something else where a registry has a token"),
    ],
)
def test_an_upstream_that_serves_something_else_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str], path: str, instead: bytes, said: str
) -> None:
    before = place.files()
    place.upstream.altered[path] = instead
    code = place.run("--only=cpython", "--only=bases")
    shown = capsys.readouterr().err
    if not said:  # an older folder has a final release: that is the newest then
        assert code == 0
        assert place.lock.cpython["3.14"].version == "3.14.6"
        return
    assert code == 1
    assert said in shown
    assert "hint: " in shown
    assert place.files() == before


def test_an_unreachable_python_org_is_one_line_and_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay = place.overlay("sources: {upstream: {python: 'http://reader:s3cret@127.0.0.1:9/ftp'}}\n")
    before = place.files()
    assert place.run("--only=cpython", f"--matrix={overlay}") == 1
    (line, hint) = [each for each in capsys.readouterr().err.splitlines() if not each.startswith("[lock]")]
    assert line == "musllinux: http://***@127.0.0.1:9/ftp/: not reachable"
    assert "proxy" in hint
    assert place.files() == before
    assert list(overlay.parent.iterdir()) == [overlay]


def test_a_lock_that_cannot_be_written_stays_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = place.files()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert place.run("--only=bases") == 1
    assert place.files() == before


# --- signatures -----------------------------------------------------------------------------------------------------


class RefusedError(Exception):
    pass


class UnreadableError(Exception):
    pass


@pytest.fixture
def sigstore(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """The library's shape, with a verifier that believes in the bundle `good`: (sum, identity, issuer) of its calls."""
    calls: list[tuple[str, str, str]] = []

    class Verifier:
        @classmethod
        def production(cls, *, offline: bool) -> "Verifier":
            assert offline
            return cls()

        def verify_artifact(self, hashed: types.SimpleNamespace, bundle: bytes, who: types.SimpleNamespace) -> None:
            calls.append((hashed.digest.hex(), who.identity, who.issuer))
            if bundle != b"good":
                raise RefusedError("the signature\ndoes not match")

    def read(bundle: bytes) -> bytes:
        if bundle == b"unreadable":
            raise UnreadableError("entry must contain inclusion proof, with checkpoint")
        return bundle

    modules = {
        "sigstore": types.ModuleType("sigstore"),
        "sigstore.errors": types.SimpleNamespace(VerificationError=RefusedError),
        "sigstore.hashes": types.SimpleNamespace(
            Hashed=types.SimpleNamespace, HashAlgorithm=types.SimpleNamespace(SHA2_256="sha256")
        ),
        "sigstore.models": types.SimpleNamespace(
            Bundle=types.SimpleNamespace(from_json=read), InvalidBundle=UnreadableError
        ),
        "sigstore.verify": types.SimpleNamespace(
            Verifier=Verifier, policy=types.SimpleNamespace(Identity=types.SimpleNamespace)
        ),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return calls


def test_a_signature_is_verified_against_the_matrixs_signer_and_recorded(
    place: Place, monkeypatch: pytest.MonkeyPatch, sigstore: list[tuple[str, str, str]]
) -> None:
    monkeypatch.setattr(signature, "available", lambda: True)
    place.upstream.files["/ftp/python/3.14.7/Python-3.14.7.tar.xz.sigstore"] = b"good"
    assert place.run("--only=cpython") == 0
    archive = place.lock.cpython["3.14"]
    assert archive.signer == "hugo@python.org"
    assert sigstore == [(archive.sha256, "hugo@python.org", "https://github.com/login/oauth")]
    assert place.lock.cpython["3.13"].signer == ""


def test_a_wrong_signature_stops_lock_with_the_sum_and_the_signer(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sigstore: list[tuple[str, str, str]],
) -> None:
    monkeypatch.setattr(signature, "available", lambda: True)
    place.upstream.files["/ftp/python/3.14.7/Python-3.14.7.tar.xz.sigstore"] = b"bad"
    before = place.files()
    assert place.run("--only=cpython") == 1
    said = capsys.readouterr().err
    assert f"Python-3.14.7.tar.xz (SHA-256 {hashlib.sha256(b'Python 3.14.7').hexdigest()}) is not signed by" in said
    assert "hugo@python.org: the signature does not match" in said
    assert len(sigstore) == 1
    assert place.files() == before


BUNDLE = "/ftp/python/{0}/Python-{0}.tar.xz.sigstore"


def signed_once(place: Place) -> None:
    """Lock 3.14.6 with a signature, and let 3.14.7 be newer."""
    listing = "/ftp/python/3.14.7/"
    place.upstream.files[BUNDLE.format("3.14.6")] = b"good"
    place.upstream.altered[listing] = b""
    assert place.run("--only=cpython") == 0
    del place.upstream.altered[listing]
    assert (place.lock.cpython["3.14"].version, place.lock.cpython["3.14"].signer) == ("3.14.6", "hugo@python.org")


@pytest.mark.usefixtures("sigstore")
@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        (None, "Python-3.14.7.tar.xz has no Sigstore bundle; 3.14.6, locked before, is signed by hugo@python.org"),
        (
            b"unreadable",
            "cannot be used: entry must contain inclusion proof, with checkpoint; 3.14.6, locked before, is",
        ),
    ],
)
def test_a_new_sum_in_a_signed_series_is_not_locked_without_its_signature(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bundle: bytes | None,
    said: str,
) -> None:
    """A mirror that has changed the archive takes the bundle away, or spoils it."""
    monkeypatch.setattr(signature, "available", lambda: True)
    signed_once(place)
    if bundle:
        place.upstream.files[BUNDLE.format("3.14.7")] = bundle
    before = place.files()
    capsys.readouterr()
    assert place.run("--only=cpython") == 1
    (line, hint) = [each for each in capsys.readouterr().err.splitlines() if not each.startswith("[lock]")]
    assert said in line
    assert "--unsigned 3.14" in hint
    assert place.files() == before


@pytest.mark.usefixtures("sigstore")
def test_a_bundle_that_cannot_be_read_is_refused_also_in_a_series_that_had_none(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signature, "available", lambda: True)
    place.upstream.files[BUNDLE.format("3.14.7")] = b"unreadable"
    before = place.files()
    assert place.run("--only=cpython") == 1
    assert "cannot be used: entry must" in (said := capsys.readouterr().err)
    assert "; hugo@python.org signs this series" in said
    assert place.files() == before


@pytest.mark.usefixtures("sigstore")
@pytest.mark.parametrize("bundle", [None, b"unreadable"])
def test_who_says_so_for_a_series_goes_on_without_its_signature(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundle: bytes | None
) -> None:
    monkeypatch.setattr(signature, "available", lambda: True)
    signed_once(place)
    if bundle:
        place.upstream.files[BUNDLE.format("3.14.7")] = bundle
    assert place.run("--only=cpython", "--unsigned=3.13") == 1
    assert place.run("--only=cpython", "--unsigned=3.13", "--unsigned=3.14") == 0
    assert (place.lock.cpython["3.14"].version, place.lock.cpython["3.14"].signer) == ("3.14.7", "")
    assert "Sigstore bundle" in capsys.readouterr().err


@pytest.mark.usefixtures("sigstore")
def test_nobody_goes_on_with_a_wrong_signature(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "available", lambda: True)
    place.upstream.files[BUNDLE.format("3.14.7")] = b"bad"
    assert place.run("--only=cpython", "--unsigned=3.14") == 1


@pytest.mark.usefixtures("sigstore")
def test_a_sum_that_stays_keeps_its_signer_where_a_mirror_has_no_bundles(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "available", lambda: True)
    place.upstream.files[BUNDLE.format("3.14.7")] = b"good"
    assert place.run("--only=cpython") == 0
    before = place.lock.cpython["3.14"]
    del place.upstream.files[BUNDLE.format("3.14.7")]
    assert place.run("--only=cpython") == 0
    assert place.lock.cpython["3.14"] == before
    assert before.signer


@pytest.mark.usefixtures("sigstore")
def test_without_the_library_nothing_is_asked_for_and_that_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as there:
        there.setattr(signature, "available", lambda: True)
        signed_once(place)
    assert place.run("--only=cpython") == 0
    assert place.lock.cpython["3.14"].version == "3.14.7"
    assert "signatures are not verified" in capsys.readouterr().err


def test_a_series_that_is_none_cannot_be_unsigned(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("--unsigned=3.41") == 2
    assert "--unsigned 3.41: no such series" in (said := capsys.readouterr().err)
    assert "3.14" in said


def test_every_series_has_a_signer() -> None:
    assert set(shipped().python.signers) == {i.series for i in shipped().interpreters.values()}


# --- certificates ---------------------------------------------------------------------------------------------------

PEM = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"


def test_the_bundle_is_the_variables_in_order_else_the_systems(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text(PEM)
    (tmp_path / "b.pem").write_text(PEM)
    given = {"SSL_CERT_FILE": str(tmp_path / "a.pem"), "REQUESTS_CA_BUNDLE": str(tmp_path / "b.pem")}
    assert certificates.bundle(given) == tmp_path / "a.pem"
    del given["SSL_CERT_FILE"]
    assert certificates.bundle(given) == tmp_path / "b.pem"
    system = certificates.bundle({})
    assert system is None or system.is_file()


@pytest.mark.parametrize("words", [["--ca-bundle=/nowhere.pem"], [f"--ca-bundle={ROOT / 'README.md'}"]])
def test_a_bundle_that_is_none_is_a_wrong_argument(
    place: Place, capsys: pytest.CaptureFixture[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert place.run(*words) == 2
    assert "--ca-bundle" in capsys.readouterr().err


def test_a_bundle_given_is_what_every_program_started_trusts(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(PEM)
    environ = {"PIP_CERT": "/other"}
    certificates.trust(tmp_path / "ca.pem", environ)
    assert set(environ) == {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"}
    assert set(environ.values()) == {str(tmp_path / "ca.pem")}


def test_a_build_gets_the_certificates_alone(tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"
    (tmp_path / "ca.pem").write_text(f"# a comment\n{PEM}{key}{PEM}")
    assert certificates.secret(tmp_path / "ca.pem").decode() == PEM
