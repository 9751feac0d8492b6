"""`{name}` in recipes: what stands for a fact of the policy, of the target or of the host."""

import re
from collections.abc import Mapping
from typing import Any

_FIELD = re.compile(r"\{([a-z_]+)\}")


def expand(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with every known `{name}` replaced, through lists and mappings (keys too); others are kept."""
    if isinstance(value, str):
        return _FIELD.sub(lambda match: names.get(match[1], match[0]), value)
    if isinstance(value, Mapping):
        return {expand(key, names): expand(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [expand(item, names) for item in value]
    return value
