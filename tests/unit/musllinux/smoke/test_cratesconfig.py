import tomllib
from pathlib import Path

import pytest

from musllinux.errors import UsageError
from musllinux.smoke import cratesconfig, pipconfig

CONFIG = """
[build]
target-dir = "/home/me/target"
[source.crates-io]
replace-with = "near"
[source.near]
registry = "sparse+https://near.invalid/index/"
[net]
retry = 5
git-fetch-with-cli = true
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARGO_HOME", str(tmp_path))
    return tmp_path


def test_only_what_says_where_crates_come_from_is_taken(home: Path) -> None:
    (home / "config.toml").write_text(CONFIG)
    found = tomllib.loads(cratesconfig.text(cratesconfig.settings(), with_bundle=False))
    assert found == {
        "source": {
            "crates-io": {"replace-with": "near"},
            "near": {"registry": "sparse+https://near.invalid/index/"},
        },
        "net": {"retry": 5, "git-fetch-with-cli": True},
    }


def test_a_machine_without_a_configuration_gives_none(home: Path) -> None:
    assert not list(home.iterdir())
    assert cratesconfig.settings() == {}
    assert cratesconfig.text({}, with_bundle=False) == ""


def test_a_private_ca_and_a_proxy_reach_cargo_and_its_own_proxy_stays() -> None:
    found = tomllib.loads(cratesconfig.text({}, with_bundle=True, proxy="http://proxy.invalid:3128"))
    assert found == {"http": {"cainfo": pipconfig.BUNDLE, "proxy": "http://proxy.invalid:3128"}}
    own = cratesconfig.text({"http": {"proxy": "own:1"}}, with_bundle=False, proxy="http://proxy.invalid:3128")
    assert tomllib.loads(own) == {"http": {"proxy": "own:1"}}


def test_a_file_that_cargo_cannot_read_is_one_line_that_names_it(home: Path) -> None:
    (home / "config.toml").write_text("source = [")
    with pytest.raises(UsageError, match=str(home / "config.toml")):
        cratesconfig.settings()


def test_a_registry_on_loopback_takes_the_hosts_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipconfig, "network", lambda: "pip's")
    near = {"source": {"x": {"registry": "sparse+http://127.0.0.1:8000/"}}}
    assert cratesconfig.network(near) == "host"
    assert cratesconfig.network({}) == "pip's"


@pytest.mark.parametrize(
    "said",
    [
        "error: failed to download from `https://static.registry.invalid/crates/pyo3/0.30.1/download`",
        "warning: spurious network error (3 tries remaining): [6] Couldn't resolve host name",
        "error: failed to get successful HTTP response from `https://index.registry.invalid/config.json`, got 503",
        "error: download of config.json failed",
    ],
)
def test_an_unreachable_registry_is_told_from_a_broken_project(said: str) -> None:
    assert cratesconfig.UNREACHABLE.search(said)
    assert not cratesconfig.UNREACHABLE.search(
        "error: the lock file Cargo.lock needs to be updated but --locked was passed"
    )
