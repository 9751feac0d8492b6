"""Wheel file names and the tags in them (PEP 425, 427, 600, 656)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(
    r"(?P<name>[^\s/-]+)-(?P<version>[^\s/-]+)(-(?P<build>\d[^\s/-]*))?"
    r"-(?P<python>[^\s/-]+)-(?P<abi>[^\s/-]+)-(?P<platform>[^\s/-]+)\.whl"
)
_MUSL = re.compile(r"(?P<policy>musllinux_\d+_\d+)_(?P<arch>[a-z0-9_]+)")
_LINUX = re.compile(r"linux_(?P<arch>[a-z0-9_]+)")
_INTERPRETER = re.compile(r"(?P<kind>[a-z]+)(?P<major>\d)(?P<minor>\d*)")


class TagError(Exception):
    """The file name is not a wheel's."""


@dataclass(frozen=True)
class WheelName:
    """A wheel's file name in its parts. Compressed tag sets are split at their dots."""

    name: str
    version: str
    pythons: tuple[str, ...]
    abis: tuple[str, ...]
    platforms: tuple[str, ...]

    @property
    def policies(self) -> tuple[str, ...]:
        """The musllinux policies named by the tags, oldest first."""
        found = {m["policy"] for m in map(_MUSL.fullmatch, self.platforms) if m}
        return tuple(sorted(found, key=policy_minor))

    @property
    def arches(self) -> tuple[str, ...]:
        """The architectures of the musllinux tags, else of plain linux ones."""
        for pattern in (_MUSL, _LINUX):
            found = {m["arch"] for m in map(pattern.fullmatch, self.platforms) if m}
            if found:
                return tuple(sorted(found))
        return ()

    @property
    def abi3(self) -> bool:
        return "abi3" in self.abis

    @property
    def oldest_python(self) -> tuple[int, int] | None:
        """(3, 9) of cp39, the oldest of several; None where no minor version is named."""
        found = [
            (int(m["major"]), int(m["minor"])) for m in map(_INTERPRETER.fullmatch, self.pythons) if m and m["minor"]
        ]
        return min(found, default=None)

    def triples(self) -> frozenset[str]:
        """The uncompressed tags, "cp39-abi3-musllinux_1_2_x86_64"."""
        return frozenset(
            f"{python}-{abi}-{platform}" for python in self.pythons for abi in self.abis for platform in self.platforms
        )


def policy_minor(policy: str) -> tuple[int, int]:
    """(1, 2) of musllinux_1_2."""
    _, major, minor = policy.split("_")
    return int(major), int(minor)


def parse(file_name: str) -> WheelName:
    """Raises TagError if `file_name` is not `name-version[-build]-python-abi-platform.whl`."""
    match = _NAME.fullmatch(file_name)
    if match is None:
        raise TagError("is not named as a wheel: name-version(-build)-python-abi-platform.whl")
    pythons, abis, platforms = (tuple(match[part].split(".")) for part in ("python", "abi", "platform"))
    return WheelName(match["name"], match["version"], pythons, abis, platforms)
