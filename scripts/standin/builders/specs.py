"""GCC's specs file: how the driver calls its parts; the text form of `gcc -dumpspecs`.

GCC reads <libdir>/gcc/<triple>/<version>/specs *instead of* its built-in ones, so the file must be complete
(one that holds only differences silently loses -lgcc_s and --eh-frame-hdr).
"""

import re
from collections.abc import Mapping, Sequence

from standin.errors import StandinError

_ENTRY = re.compile(r"^\*([^:\n]+):\n(.*?)\n\n(?=\*|\Z)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^\*([^:\n]+):$", re.MULTILINE)


def parse(text: str) -> dict[str, str]:
    """The specs by name, in order. Raises StandinError if any of them could not be read."""
    specs = {match[1]: match[2] for match in _ENTRY.finditer(text)}
    if not specs or list(specs) != _NAME.findall(text):
        raise StandinError("gcc -dumpspecs said something unreadable", hint="Debian has changed its compiler")
    return specs


def edited(specs: Mapping[str, str], replace: Mapping[str, str], add: Sequence[Sequence[str]]) -> dict[str, str]:
    """`specs` with some replaced and then others made longer, each `add` being (name, text).

    Raises StandinError for a name this compiler does not have.
    """
    changed = dict(specs)
    for name in [*replace, *(name for name, _ in add)]:
        if name not in specs:
            raise StandinError(f"gcc has no spec called {name}", hint="mend the recipe")
    changed |= replace
    for name, text in add:
        changed[name] = f"{changed[name]} {text}".strip()
    return changed


def written(specs: Mapping[str, str]) -> str:
    """The file GCC reads."""
    return "".join(f"*{name}:\n{text}\n\n" for name, text in specs.items())
