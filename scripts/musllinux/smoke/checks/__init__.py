"""The checks, by group. Importing this package registers all of them, in the order of the table."""

from musllinux.smoke.checks import (  # isort: skip - the order is the table's
    identity,
    emulation,
    contents,
    interpreters,
    toolchain,
    floor,
    wheels,
    rust,
    trials,
    packages,
    clients,
)

__all__ = [
    "clients",
    "contents",
    "emulation",
    "floor",
    "identity",
    "interpreters",
    "packages",
    "rust",
    "toolchain",
    "trials",
    "wheels",
]
