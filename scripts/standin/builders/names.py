"""Names in recipes: `{triple}` and its like stand for facts of the target and of the host."""

from collections.abc import Mapping

from standin.builders.host import this_host
from standin.catalogue import Target


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
