"""How an error looks to a person: one clear line, the remedy, the log; never a secret."""

import sys

from musllinux.errors import FactoryError
from musllinux.redact import redact


def show(error: FactoryError) -> None:
    """Print an error on standard error: its lines, then hint and log where it has them."""
    lines = [line if line.startswith(" ") else f"musllinux: {line}" for line in error.message.splitlines()]
    if error.hint:
        lines.append(f"  hint: {error.hint}")
    if error.log:
        lines.append(f"  log: {error.log}")
    for line in lines:
        print(redact(line), file=sys.stderr, flush=True)
