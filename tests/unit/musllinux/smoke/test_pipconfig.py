from pathlib import Path

import pytest
from tests.unit.musllinux.test_pipsettings import LISTED

from musllinux import pipsettings
from musllinux.smoke import pipconfig


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*pipconfig.BUNDLES, "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_containers_configuration_has_what_reaches_the_index_and_nothing_of_this_machines_disk() -> None:
    found = {**pipsettings.parse(LISTED), "find-links": "/opt/wheels", "cache-dir": "/root/.cache", "timeout": "60"}
    lines = pipconfig.text(found, with_bundle=True).splitlines()
    assert lines == [
        "[global]",
        "index-url = https://install.invalid/simple",
        "extra-index-url = https://one.invalid/simple https://two.invalid/simple",
        "timeout = 60",
        f"cert = {pipconfig.BUNDLE}",
    ]


def test_without_settings_pips_own_defaults_stand() -> None:
    assert pipconfig.text({}, with_bundle=False) == "[global]\n"


def test_the_proxy_of_the_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert "proxy = http://proxy.invalid:3128" in pipconfig.text({}, with_bundle=False)


@pytest.mark.parametrize(
    ("found", "network"),
    [
        ({}, ""),
        ({"index-url": "https://mirror.invalid/simple"}, ""),
        ({"index-url": "http://127.0.0.1:3141/simple"}, "host"),
        ({"extra-index-url": "https://mirror.invalid/ http://localhost:3141/simple"}, "host"),
        ({"proxy": "[::1]:3128"}, "host"),
        ({"proxy": "127.0.0.1:3128"}, "host"),
    ],
)
def test_an_index_on_loopback_is_reached_through_the_hosts_network(found: dict[str, str], network: str) -> None:
    assert pipconfig.network(found) == network


def test_pips_own_bundle_wins_and_a_missing_file_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, general = tmp_path / "own.pem", tmp_path / "general.pem"
    own.touch()
    general.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(general))
    assert pipconfig.bundle({"cert": str(own)}) == own
    assert pipconfig.bundle({"cert": str(tmp_path / "absent.pem")}) == general
    monkeypatch.delenv("SSL_CERT_FILE")
    assert pipconfig.bundle({}) is None


def test_the_mounts_are_readable_by_the_engine_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("certificates")
    monkeypatch.setenv("PIP_CERT", str(ca))
    with pipconfig.prepared() as mounts:
        assert {mount.target: mount.source.read_text() for mount in mounts}[pipconfig.BUNDLE] == "certificates"
        assert {mount.target for mount in mounts} == {pipconfig.CONF, pipconfig.BUNDLE}
        sources = [mount.source for mount in mounts]
    assert not any(source.exists() for source in sources)
