"""Every check there is, as one image needs them: the registry, filled by the modules of `checks`."""

from musllinux.model import Image
from musllinux.smoke import checks as _modules  # noqa: F401 - importing them fills the registry
from musllinux.smoke.registry import Check, registered


def checks(image: Image) -> list[Check]:
    """Every check of `image`, in the order in which the table shows them."""
    found = [one for entry in registered() for one in entry.checks(image)]
    groups = list(dict.fromkeys(one.group for one in found))
    return sorted(found, key=lambda one: groups.index(one.group))
