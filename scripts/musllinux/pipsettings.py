"""pip's own settings on this machine, for what must reach the same indexes as pip does: uv, pip in a container."""

import ast
import os
import sys

from musllinux.run import CommandError, run


def settings() -> dict[str, str]:
    """pip's settings on this machine: files and PIP_* variables, the latter first, as pip itself has it."""
    try:
        listed = run([sys.executable, "-m", "pip", "config", "list"]).output
    except CommandError:  # an environment without pip (uv makes such): its variables are all there is
        listed = ""
    found = parse(listed)
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    if "default-timeout" in found:
        found["timeout"] = found.pop("default-timeout")
    return found


def parse(listed: str) -> dict[str, str]:
    """`pip config list` as a mapping: `global.index-url='…'`; a variable or [install] wins over [global]."""
    found: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        place, separator, value = line.partition("=")
        section, _, name = place.rpartition(".")
        rank = {"global": 1, "install": 2, ":env:": 3}.get(section, 0)
        if not separator or not rank or rank < found.get(name, (0, ""))[0]:
            continue
        try:
            found[name] = (rank, str(ast.literal_eval(value)))
        except (ValueError, SyntaxError):
            continue
    return {name: value for name, (_, value) in found.items()}
