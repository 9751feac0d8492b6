"""apt, pip and what is made of them, without a network: fakes on PATH answer as the programs do."""

import hashlib
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standin import apt as apt_module
from standin import bases as bases_module
from standin import pypi
from standin.apt import Apt, GoneError, Record
from standin.archives import Archives, UnavailableError, default_series
from standin.bases import Bases, at_hand, find_minirootfs
from standin.cache import Cache
from standin.errors import StandinError
from standin.inputs import CachedInputs, moved

WORDS = st.text("abcdefgh0123-.", min_size=1, max_size=12)


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of fakes that comes first on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv(apt_module.MIRROR_ENVIRONMENT, raising=False)
    fake(folder, "dpkg", "echo amd64")
    fake(
        folder,
        "apt-config",
        "echo 'Acquire::http::Proxy \"http://proxy.invalid\";'; echo 'Acquire::IndexTargets \"\";'",
    )
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(apt_module, "KEYRING", keyring)
    return folder


@given(st.lists(st.dictionaries(WORDS.filter(lambda w: w[0] not in "-."), WORDS, min_size=1), max_size=4))
def test_stanzas_are_read_back(stanzas: list[dict[str, str]]) -> None:
    text = "\n".join("".join(f"{key}: {value}\n" for key, value in stanza.items()) for stanza in stanzas)
    assert apt_module._stanzas(text) == stanzas


def test_a_source_record_has_upstreams_tarballs_and_nothing_of_debians_own() -> None:
    """What Debian adds is not used, and a lagging mirror may name a revision of it before it has it."""
    files = ["p_1.orig.tar.xz", "p_1.orig-extra.tar.gz", "p_1.orig.tar.xz.asc", "p_1-1.dsc", "p_1-1.debian.tar.xz"]
    sums = "".join(f" {number} 10 {name}\n" for number, name in enumerate(files))
    text = f"Package: p\nVersion: 1-1\nChecksums-Sha256:\n{sums}\n"
    record = apt_module._source_record(apt_module._stanzas(text)[0])
    assert record.files == {"p_1.orig.tar.xz": "0", "p_1.orig-extra.tar.gz": "1"}


INDEXTARGETS = """
    cat <<'END'
    Packages|Debian-Security|http://mirror.invalid/debian-security/
    Packages|node|https://deb.node.invalid/
    DEP-11|Debian|http://wrong.invalid/debian/
    Packages|Debian|http://mirror.invalid/debian/
    END
"""


def test_the_mirror_is_the_machines_own_debian_archive(tmp_path: Path, programs: Path) -> None:
    fake(programs, "apt-get", INDEXTARGETS)
    assert Apt(Cache(tmp_path / "c"), print).mirror == "http://mirror.invalid/debian/"


def test_before_the_first_update_the_archives_path_tells(tmp_path: Path, programs: Path) -> None:
    fake(
        programs,
        "apt-get",
        "echo 'Packages||http://a.invalid/debian-security/'; echo 'Packages||http://a.invalid/debian'",
    )
    assert Apt(Cache(tmp_path / "c"), print).mirror == "http://a.invalid/debian"


def test_the_environment_can_name_the_mirror(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(programs, "apt-get", "exit 1")
    monkeypatch.setenv(apt_module.MIRROR_ENVIRONMENT, "http://other.invalid/debian")
    assert Apt(Cache(tmp_path / "c"), print).mirror == "http://other.invalid/debian"


def test_a_machine_without_a_debian_mirror_is_told_what_to_do(tmp_path: Path, programs: Path) -> None:
    fake(programs, "apt-get", "echo 'Packages|Ubuntu|http://a.invalid/ubuntu/'")
    with pytest.raises(StandinError, match="names no Debian mirror") as caught:
        _ = Apt(Cache(tmp_path / "c"), print).mirror
    assert apt_module.MIRROR_ENVIRONMENT in caught.value.hint


def test_a_machine_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(apt_module.MIRROR_ENVIRONMENT, raising=False)
    with pytest.raises(StandinError, match="no apt on this machine"):
        _ = Apt(Cache(tmp_path / "c"), print).mirror


def test_an_unreachable_mirror_is_one_clear_line(tmp_path: Path, programs: Path) -> None:
    fake(
        programs,
        "apt-get",
        """
        case "$*" in *indextargets*) echo 'Packages|Debian|http://mirror.invalid/debian' ;;
        *) echo 'E: Could not resolve mirror.invalid' >&2; exit 100 ;; esac
        """,
    )
    with pytest.raises(StandinError, match=r"index of bookworm/amd64 cannot be read(.|\n)*resolve") as caught:
        Apt(Cache(tmp_path / "c"), print).binaries("bookworm", "amd64", ["bash"])
    assert "network" in caught.value.hint


def test_the_private_configuration_keeps_the_proxy_and_drops_foreign_indexes(tmp_path: Path, programs: Path) -> None:
    fake(programs, "apt-get", "echo 'Packages|Debian|http://mirror.invalid/debian'")
    fake(programs, "apt-cache", "echo 'N: No packages found' >&2; exit 100")
    with pytest.raises(StandinError, match="no package bash for amd64"):
        Apt(Cache(tmp_path / "c"), print).binaries("bookworm", "amd64", ["bash"])
    written = (tmp_path / "c/apt/bookworm-amd64/apt.conf").read_text()
    assert 'Acquire::http::Proxy "http://proxy.invalid";' in written
    assert "IndexTargets" not in written
    assert "deb [signed-by=" in (tmp_path / "c/apt/bookworm-amd64/sources.list").read_text()


def test_a_deb_that_is_not_what_the_index_says_is_not_used(tmp_path: Path, programs: Path) -> None:
    fake(
        programs,
        "apt-get",
        """
        case "$*" in *indextargets*) echo 'Packages|Debian|http://mirror.invalid/debian' ;;
        *download*) echo tampered > bash_1_amd64.deb ;; esac
        """,
    )
    fake(
        programs,
        "apt-cache",
        f"printf 'Package: bash\\nVersion: 1\\nFilename: pool/b/bash_1_amd64.deb\\nSHA256: {'0' * 64}\\n'",
    )
    cache = Cache(tmp_path / "c")
    with pytest.raises(StandinError, match="not what its index says"):
        Apt(cache, print).debs("bookworm", "amd64", ["bash"])
    assert list((tmp_path / "c/products").iterdir()) == []


def test_a_file_that_the_pool_lost_is_gone_and_not_a_network_failure(tmp_path: Path, programs: Path) -> None:
    fake(
        programs,
        "apt-get",
        """
        case "$*" in *indextargets*) echo 'Packages|Debian|http://mirror.invalid/debian' ;;
        *source*) echo 'E: Failed to fetch http://m.invalid/pool/p_1.orig.tar.xz  404  Not Found' >&2; exit 100 ;; esac
        """,
    )
    fake(
        programs,
        "apt-cache",
        "printf 'Package: p\\nVersion: 1-1\\nChecksums-Sha256:\\n aa 1 p_1.orig.tar.xz\\n'",
    )
    with pytest.raises(GoneError, match=r"names p_1\.orig\.tar\.xz in its index of sid"):
        Apt(Cache(tmp_path / "c"), print).source("sid", "p")


class FakeApt:
    """Sources by suite: version and the orig's content; None for what the pool has lost."""

    def __init__(self, folder: Path, suites: dict[str, tuple[str, bytes | None]]) -> None:
        self.folder = folder
        self.suites = suites
        self.asked = 0

    def sources(self, suite: str, package: str) -> Record:
        self.asked += 1
        version, content = self.suites.get(suite, ("0-1", None))
        upstream = version.partition("-")[0]
        sums = {f"{package}_{upstream}.orig.tar.xz": hashlib.sha256(content or b"").hexdigest()}
        return Record(package=package, version=version, files=sums)

    def source(self, suite: str, package: str) -> tuple[Record, list[Path]]:
        record = self.sources(suite, package)
        content = self.suites[suite][1]
        if content is None:
            raise GoneError("the mirror lost it")
        path = self.folder / next(iter(record.files))
        path.write_bytes(content)
        return record, [path]

    def pool(self, path: str, sha256: str) -> Path:  # noqa: ARG002
        raise GoneError(f"the mirror's pool does not have {path}")

    def binaries(self, suite: str, arch: str, packages: list[str]) -> list[Record]:  # noqa: ARG002
        return [Record(package=name, version="2", files={"x": "y"}) for name in packages]


def archives(cache: Cache, apt: FakeApt, said: list[str], **more: bool) -> Archives:
    flags = {"accept_newer": False, "refresh": False, **more}
    found = Archives(cache, apt, said.append, **flags)  # type: ignore[arg-type]
    entry = {"source": "python3.9", "suffix": "tar.xz"}
    found._series = {
        "3.9": (
            {**entry, "suite": "sid", "version": "3.9.5", "sha256": hashlib.sha256(b"new").hexdigest()},
            {**entry, "suite": "old", "version": "3.9.2", "sha256": hashlib.sha256(b"old").hexdigest()},
        )
    }
    return found


def test_the_first_candidate_the_mirror_has_is_taken_under_upstreams_name(tmp_path: Path) -> None:
    apt = FakeApt(tmp_path, {"sid": ("3.9.9-1", b"moved"), "old": ("3.9.2-1", b"old")})
    archive = archives(Cache(tmp_path / "c"), apt, []).archive("3.9")
    assert (archive.version, archive.path.name, archive.path.read_bytes()) == (
        "3.9.2",
        "Python-3.9.2.tar.xz",
        b"old",
    )


def test_a_candidate_the_pool_lost_is_passed_over(tmp_path: Path) -> None:
    apt = FakeApt(tmp_path, {"sid": ("3.9.5-1", None), "old": ("3.9.2-1", b"old")})
    assert archives(Cache(tmp_path / "c"), apt, []).archive("3.9").version == "3.9.2"


def test_when_every_suite_moved_on_the_reason_names_each_and_is_remembered(tmp_path: Path) -> None:
    apt = FakeApt(tmp_path, {"sid": ("3.9.9-1", b"moved"), "old": ("3.9.2-1", None)})
    cache = Cache(tmp_path / "c")
    with pytest.raises(UnavailableError, match=r"sid has 3\.9\.9, not 3\.9\.5; the mirror lost it") as caught:
        archives(cache, apt, []).archive("3.9")
    assert "--accept-newer" in caught.value.hint
    asked = apt.asked
    with pytest.raises(UnavailableError, match=r"sid has 3\.9\.9"):
        archives(cache, apt, []).archive("3.9")
    assert apt.asked == asked, "an idle `up` must not ask apt again"
    with pytest.raises(UnavailableError):
        archives(cache, apt, [], refresh=True).archive("3.9")
    assert apt.asked > asked


def test_accept_newer_follows_the_suite_and_says_so(tmp_path: Path) -> None:
    apt = FakeApt(tmp_path, {"sid": ("3.9.9-1", b"moved")})
    said: list[str] = []
    archive = archives(Cache(tmp_path / "c"), apt, said, accept_newer=True).archive("3.9")
    assert (archive.version, archive.path.read_bytes()) == ("3.9.9", b"moved")
    assert any("3.9.9" in line for line in said)


def test_an_archive_with_another_sum_is_refused_and_not_kept(tmp_path: Path) -> None:
    apt = FakeApt(tmp_path, {"sid": ("3.9.5-1", b"tampered")})
    cache = Cache(tmp_path / "c")
    with pytest.raises(StandinError, match="not the pinned archive"):
        archives(cache, apt, []).archive("3.9")
    assert archives(cache, apt, []).known() == []


def test_an_unknown_series_is_named(tmp_path: Path) -> None:
    with pytest.raises(StandinError, match=r"no CPython 2\.7"):
        archives(Cache(tmp_path / "c"), FakeApt(tmp_path, {}), []).archive("2.7")


@pytest.mark.parametrize(
    ("debian", "upstream"), [("3.11.2-6+deb12u8", "3.11.2"), ("3.15.0~b3-1", "3.15.0b3"), ("1:3.9.2-1", "3.9.2")]
)
def test_upstreams_version_is_found_in_debians(debian: str, upstream: str) -> None:
    from standin.archives import _upstream  # noqa: PLC0415

    assert _upstream(Record(package="p", version=debian, files={})) == upstream


def test_the_default_series_are_known_ones() -> None:
    assert {"3.9", "3.11", "3.14"} == set(default_series())


# -- wheels ---------------------------------------------------------------------------------------------------


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel that pip finds without a network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "thing-1.0-py3-none-any.whl", "w") as archive:
        info = zipfile.ZipInfo("thing/tool")
        info.external_attr = 0o100755 << 16
        archive.writestr(info, "#!/bin/sh\n")
        archive.writestr("thing/data", "data")
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_pinned_wheel_is_unpacked_with_its_programs_executable(tmp_path: Path, wheelhouse: Path) -> None:
    sha256 = hashlib.sha256((wheelhouse / "thing-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    cache = Cache(tmp_path / "c")
    tree = pypi.wheel(cache, print, "thing==1.0", sha256=sha256)
    assert (tree / "thing/tool").stat().st_mode & 0o111
    assert not (tree / "thing/data").stat().st_mode & 0o111
    (wheelhouse / "thing-1.0-py3-none-any.whl").unlink()
    assert pypi.wheel(cache, print, "thing==1.0", sha256=sha256) == tree


@pytest.mark.usefixtures("wheelhouse")
def test_a_wheel_with_another_sum_is_refused_and_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    with pytest.raises(StandinError, match=r"thing==1\.0") as caught:
        pypi.wheel(cache, print, "thing==1.0", sha256="0" * 64)
    assert "not the pinned one" in caught.value.hint
    assert list((tmp_path / "c/products").iterdir()) == []


def test_an_unpinned_wheel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StandinError, match="not pinned"):
        pypi.wheel(Cache(tmp_path / "c"), print, "thing==1.0", sha256=None)


def test_a_python_without_pip_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    fake(tmp_path, "python", "echo 'No module named pip' >&2; exit 1")
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(StandinError) as caught:
        pypi.wheel(Cache(tmp_path / "c"), print, "thing==1.0", sha256="0" * 64)
    assert caught.value.hint == f"install pip for {script}"


# -- inputs ---------------------------------------------------------------------------------------------------


def test_a_tree_that_was_not_asked_for_is_named(tmp_path: Path) -> None:
    inputs = CachedInputs(
        cache=Cache(tmp_path / "c"),
        apt=FakeApt(tmp_path, {}),  # type: ignore[arg-type]
        report=print,
        trees={"a": tmp_path},
        work=tmp_path,
        log=tmp_path / "log",
    )
    assert inputs.tree("a") == tmp_path
    with pytest.raises(StandinError, match="tree of b was not asked for") as caught:
        inputs.tree("b")
    assert "`needs`" in caught.value.hint


def test_a_package_that_debian_changed_is_seen_in_a_trace(tmp_path: Path) -> None:
    apt: Any = FakeApt(tmp_path, {})
    [now] = apt.binaries("s", "amd64", ["p"])
    same = {"kind": "deb", "what": ["s", "amd64", "p"], "version": "2", "sum": now.identity}
    wheel = {"kind": "wheel", "what": ["w==1"], "version": "1", "sum": "s"}
    assert moved([same, wheel], apt) == []
    assert moved([{**same, "version": "1", "sum": "old"}], apt) == ["p 1 -> 2"]


# -- bases ----------------------------------------------------------------------------------------------------


def tarball(folder: Path, version: str, arch: str = "x86_64") -> Path:
    path = folder / f"alpine-minirootfs-{version}-{arch}.tar.gz"
    path.write_bytes(b"not Alpine's")
    return path


def test_a_tarball_with_another_sum_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "minirootfs"
    folder.mkdir()
    tarball(folder, "3.20.3")
    cache = Cache(tmp_path / "c")
    bases = Bases(cache, FakeApt(tmp_path, {}), print, folder)  # type: ignore[arg-type]
    source = next(each for each in bases.sources("x86_64") if each.version == "3.20.3")
    with pytest.raises(StandinError, match=r"is not Alpine's: its SHA-512"):
        bases.base(source)
    assert bases.known(source) is None


def test_a_tarball_without_a_known_sum_is_passed_over_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "minirootfs"
    folder.mkdir()
    tarball(folder, "3.99.0")
    said: list[str] = []
    bases = Bases(Cache(tmp_path / "c"), FakeApt(tmp_path, {}), said.append, folder)  # type: ignore[arg-type]
    assert "3.99.0" not in {source.version for source in bases.sources("x86_64")}
    assert any("3.99.0" in line for line in said)


@pytest.mark.parametrize(
    ("policy", "there", "chosen"),
    [
        ("musllinux_1_2", ["3.12.12", "3.20.3"], "3.20.3"),
        ("musllinux_1_2", ["3.20.3", "3.22.6"], "3.22.6"),
        ("musllinux_1_2", ["3.12.12"], "3.23.6"),  # the wheel's
        ("musllinux_1_1", ["3.12.12", "3.20.3"], "3.12.12"),
        ("musllinux_1_1", ["3.20.3"], None),
    ],
)
def test_a_policy_builds_on_the_best_base_there_is(
    tmp_path: Path, policy: str, there: list[str], chosen: str | None
) -> None:
    folder = tmp_path / "minirootfs"
    folder.mkdir()
    for version in there:
        tarball(folder, version)
    bases = Bases(Cache(tmp_path / "c"), FakeApt(tmp_path, {}), print, folder)  # type: ignore[arg-type]
    assert bases.build_version(policy, bases.sources("x86_64")) == chosen
    assert at_hand(policy, "x86_64", folder) == (chosen is not None)


def test_without_tarballs_a_policy_has_a_base_where_pypi_has_one() -> None:
    assert at_hand("musllinux_1_2", "aarch64", None)
    assert not at_hand("musllinux_1_2", "s390x", None)
    assert not at_hand("musllinux_1_1", "x86_64", None)


def test_an_unknown_policy_is_named(tmp_path: Path) -> None:
    bases = Bases(Cache(tmp_path / "c"), FakeApt(tmp_path, {}), print, None)  # type: ignore[arg-type]
    with pytest.raises(StandinError, match="musllinux_2_0"):
        bases.build_version("musllinux_2_0", [])


def test_a_folder_of_tarballs_that_is_named_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bases_module.ENVIRONMENT, str(tmp_path))
    assert find_minirootfs(None) == tmp_path
    with pytest.raises(StandinError, match="there is no folder"):
        find_minirootfs(tmp_path / "absent")
