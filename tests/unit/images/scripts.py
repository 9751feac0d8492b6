"""The build scripts of images, as tests run them: shell ones with sh, Python ones as modules."""

import importlib.util
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from tests.conftest import ROOT

FILES = ROOT / "images/files"
BUILD = FILES / "build"


def sh(script: Path, *args: Path | str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script with sh; it is the answer's business how it ended."""
    argv = ["sh", script, *args]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=env)


def module(path: Path) -> ModuleType:
    """A script as a module, without writing a .pyc beside it: images/files goes into images."""
    spec = importlib.util.spec_from_loader(path.stem, loader=None)
    assert spec
    made = importlib.util.module_from_spec(spec)
    exec(compile(path.read_text(), path, "exec"), vars(made))  # noqa: S102 - this repository's own script
    return made
