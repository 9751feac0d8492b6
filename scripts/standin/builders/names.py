"""Names in recipes: `{triple}` and its like stand for facts of the target and of the host."""

import re
from collections.abc import Mapping
from typing import Any

from standin.builders.host import this_host
from standin.catalogue import Target

_FIELD = re.compile(r"\{([a-z_]+)\}")


def names_for(target: Target) -> Mapping[str, str]:
    """Every name a recipe may write in braces, with its value for `target`."""
    host = this_host()
    return {
        "apk_arch": target.apk_arch,
        "triple": target.triple,
        "debian_arch": target.debian_arch,
        "debian_triple": target.debian_triple,
        "debian_dashed": target.debian_triple.replace("_", "-"),
        "loader": target.loader,
        "kernel_arch": target.kernel_arch,
        "host_arch": host.debian_arch,
        "host_triple": host.debian_triple,
        "host_loader": host.glibc_loader,
        "rust_host": host.rust,
    }


def expand(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with every known `{name}` replaced, through lists and mappings (keys too); others are kept."""
    if isinstance(value, str):
        return _FIELD.sub(lambda match: names.get(match[1], match[0]), value)
    if isinstance(value, Mapping):
        return {expand(key, names): expand(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [expand(item, names) for item in value]
    return value
