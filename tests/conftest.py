"""What tests need of the machine, and what is said of those that it cannot run.

A test names its needs with `@pytest.mark.needs("engine")`. Where one is missing the test is left out, and the closing
lines say why and how to get it; MUSLLINUX_TESTS_REQUIRE=engine,compose makes that an error instead (CI).
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from musllinux import engine
from musllinux.errors import FactoryError
from musllinux.run import run

ROOT = Path(__file__).resolve().parents[1]
_deselected: Counter[str] = Counter()

# On a machine that is busy with builds, an example may take long without any fault of its own.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--compose",
        default=os.environ.get("MUSLLINUX_COMPOSE", ""),
        help="the compose command of the registry service (or $MUSLLINUX_COMPOSE, docker compose, docker-compose)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"needs(*names): what the machine must have: {', '.join(NEEDS)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    required = {name for name in os.environ.get("MUSLLINUX_TESTS_REQUIRE", "").split(",") if name}
    for item in items:
        for name in _needs(item):
            missing = NEEDS[name](config)
            if missing and name in required:
                raise pytest.UsageError(f"MUSLLINUX_TESTS_REQUIRE: {missing}")
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    _deselected.update("slow" for item in items if item.get_closest_marker("slow"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _deselected["slow"]:
        terminalreporter.line(f"left out: {_deselected['slow']} slow tests (`make test-all` runs them)")


def _needs(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if name not in NEEDS:
                raise pytest.UsageError(f"{item.nodeid}: needs({name!r}); known: {', '.join(NEEDS)}")
            yield name


@cache
def _engine(_: pytest.Config) -> str:
    try:
        engine.find_client()
        with closing(engine.connect(timeout=20)):
            return ""
    except FactoryError as error:
        return f"{error.message}: {error.hint}"


@cache
def compose(config: pytest.Config) -> str:
    """The compose command that works here, or empty."""
    asked = str(config.getoption("--compose"))
    for command in [asked] if asked else ["docker compose", "docker-compose"]:
        program = shutil.which(command.split()[0])
        if program and run([*command.split(), "version"], check=False, timeout=60).code == 0:
            return command
    return ""


def _compose(config: pytest.Config) -> str:
    if compose(config):
        return ""
    return "no compose command works (docker compose, docker-compose): `scripts/setup compose` installs one"


def _apt(_: pytest.Config) -> str:
    missing = [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]
    return f"no {', '.join(missing)}: the registry comes from Debian's packages" if missing else ""


def _emulators(_: pytest.Config) -> str:
    missing = run([ROOT / "scripts" / "setup", "--check", "emulators"], env={"ARCH": ""}, check=False)
    return "" if missing.code == 0 else f"no {missing.output.strip()}"


NEEDS: dict[str, Callable[[pytest.Config], str]] = {
    "engine": _engine,
    "compose": _compose,
    "apt": _apt,
    "emulators": _emulators,
}


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
