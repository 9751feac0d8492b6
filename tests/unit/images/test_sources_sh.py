"""sources.sh: mirrors, proxies, keys and certificates reach apk, whatever characters are in them, and nothing stays."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from musllinux.context import secrets
from musllinux.model import Image, resolve

from ..musllinux.factory import everything, shipped
from .scripts import BUILD

MATRIX = shipped()


def image(mirror: str = "https://mirror.example/alpine", key: str = "") -> Image:
    return resolve(MATRIX, replace(everything(MATRIX), mirror=mirror, apk_key=key))[0]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The folders of a build container, elsewhere."""

    root: Path

    @property
    def secrets(self) -> Path:
        return self.root / "run/secrets"

    def source(self, then: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run `then` after sources.sh, all its absolute paths below the root."""
        text = (BUILD / "sources.sh").read_text()
        for path in ("/run/secrets", "/dev/shm", "/usr/share/apk/keys", "/etc/apk/keys"):
            assert path in text
            text = text.replace(path, f"{self.root}{path}")
        script = self.root / "sources.sh"
        script.write_text(text)
        return subprocess.run(
            ["sh", "-c", f". {script}\n{then}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            cwd=self.root,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", **(env or {})},
        )

    def words(self, then: str) -> list[str]:
        done = self.source(then)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    @property
    def left(self) -> list[Path]:
        return list((self.root / "dev/shm").iterdir())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("run/secrets", "dev/shm", "usr/share/apk/keys/aarch64", "etc/apk/keys"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/share/apk/keys/alpine.pub").write_text("alpine")
    (tmp_path / "usr/share/apk/keys/aarch64/arm.pub").symlink_to("../alpine.pub")
    (tmp_path / "etc/apk/keys/mine.rsa.pub").write_text("mine")
    return Machine(root=tmp_path)


FLAGS = 'printf "%s\\n" $apk_flags'


LISTED = 'cat "$memory/repositories"'


def test_apk_gets_the_mirrors_repositories_and_none_of_the_systems(machine: Machine) -> None:
    (machine.secrets / "sources").write_text(secrets(image(), {}))
    words = machine.words(FLAGS)
    assert words[:3] == ["--no-cache", "--no-progress", "--repositories-file"]
    assert machine.words(LISTED) == [f"https://mirror.example/alpine/v3.22/{part}" for part in ("main", "community")]


def test_no_password_is_an_argument_of_apk(machine: Machine) -> None:
    (machine.secrets / "sources").write_text(secrets(image("https://reader:s3cret@mirror.example/alpine"), {}))
    assert not [word for word in machine.words(FLAGS) if "s3cret" in word or "://" in word]


@pytest.mark.parametrize("password", ["s3cret", "a'b", "$(id)", "&;!", "`id`", "*?[a]", "a!b", "a\\b"])
def test_a_password_of_any_characters_arrives_whole(machine: Machine, password: str) -> None:
    mirror = f"https://reader:{password}@mirror.example/alpine"
    (machine.secrets / "sources").write_text(secrets(image(mirror), {}))
    assert f"{mirror}/v3.22/main" in machine.words(LISTED)


def test_the_keys_of_every_architecture_and_the_sources_own_are_there_only_while_it_runs(machine: Machine) -> None:
    (machine.secrets / "sources").write_text(secrets(image(key="/somewhere/standin@local.rsa.pub"), {}))
    (machine.secrets / "apk-key").write_text("standin")
    names = machine.words('for key in "$keys"/*; do echo "${key##*/} $(cat "$key")"; done')
    assert names == ["alpine.pub alpine", "mine.rsa.pub mine", "standin@local.rsa.pub standin"]
    assert machine.left == []


def test_nothing_stays_after_a_failure(machine: Machine) -> None:
    (machine.secrets / "sources").write_text(secrets(image(), {}))
    done = machine.source("exit 7")
    assert done.returncode == 7
    assert machine.left == []


PROXY = "http://user:p$w'@proxy.example:3128"


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "no_proxy"])
@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_a_proxy_in_either_spelling_is_exported_in_the_one_everybody_reads(
    machine: Machine, name: str, spelled: type[str]
) -> None:
    (machine.secrets / "sources").write_text(secrets(image(), {spelled(name): PROXY}))
    (found,) = [line for line in machine.words("env") if line.startswith(f"{name}=")]
    assert found == f"{name}={PROXY}"


def test_the_lower_case_spelling_goes_first_as_with_curl(machine: Machine) -> None:
    (machine.secrets / "sources").write_text(secrets(image(), {"https_proxy": "http://a", "HTTPS_PROXY": "http://b"}))
    assert "https_proxy=http://a" in machine.words("env")


def test_a_password_that_no_url_can_carry_reaches_apk_in_its_own_variable(machine: Machine) -> None:
    mirror = image("https://reader:a%2Fb@mirror.example/alpine")
    (machine.secrets / "sources").write_text(secrets(mirror, {"https_proxy": "http://me:c%40d@proxy.example"}))
    found = machine.words("env")
    assert "HTTP_AUTH=basic:*:reader:a/b" in found
    assert "HTTP_PROXY_AUTH=basic:*:me:c@d" in found
    assert "https_proxy=http://proxy.example" in found
    assert machine.words(LISTED)[0] == "https://mirror.example/alpine/v3.22/main"


def test_without_proxies_none_is_exported(machine: Machine) -> None:
    (machine.secrets / "sources").write_text(secrets(image(), {}))
    assert not [line for line in machine.words("env") if re.match(r"\w+_proxy=.", line, re.IGNORECASE)]


def test_a_private_bundle_is_what_programs_trust(machine: Machine) -> None:
    (machine.secrets / "sources").write_text(secrets(image(), {}))
    assert not [line for line in machine.words("env") if line.startswith("SSL_CERT_FILE")]
    (machine.secrets / "ca-bundle").write_text("certificates")
    assert f"SSL_CERT_FILE={machine.secrets}/ca-bundle" in machine.words("env")


def test_a_build_without_its_secret_says_so(machine: Machine) -> None:
    done = machine.source("echo not reached")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "no apk repositories: the build needs its 'sources' secret\n"
