"""CPython's stable ABI: which names it has, and since which Python (data/stable-abi.json)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from muslabi.bundle import Bundle
from muslabi.database import read_data
from muslabi.findings import Finding, find, some
from muslabi.needs import Needs


@lru_cache(maxsize=1)
def added() -> dict[str, tuple[int, int]]:
    """Name -> the Python that added it, (3, 9)."""
    table = {}
    for version, names in read_data("stable-abi.json")["added"].items():
        major, _, minor = version.partition(".")
        for name in names:
            table[name] = (int(major), int(minor))
    return table


def rule_stable_abi(needs: Needs, bundle: Bundle) -> Iterator[Finding]:
    """Python names of an abi3 file that are not in the stable ABI, or not yet in the tag's Python."""
    tagged = bundle.wheel is not None and bundle.wheel.abi3
    if not tagged and ".abi3." not in needs.member.base:
        return
    table = added()
    outside = tuple(name for name in needs.python if name not in table)
    if outside:
        yield find("abi3-outside", needs.member.name, f"uses {some(outside)}", symbols=outside)
    oldest = bundle.wheel.oldest_python if bundle.wheel else None
    if oldest is None:
        return
    late = tuple(name for name in needs.python if table.get(name, oldest) > oldest)
    if late:
        words = tuple(f"{name} (Python {table[name][0]}.{table[name][1]})" for name in late)
        said = f"the tag says Python {oldest[0]}.{oldest[1]}"
        yield find("abi3-too-new", needs.member.name, f"uses {some(words)}; {said}", symbols=late)
