"""Trying built images: every check through the image's own entrypoint, a record, a table."""

from argparse import Namespace


def command(args: Namespace) -> int:
    """`musllinux smoke`. Exit code 1 when a check failed or an image could not be tried."""
    from musllinux.smoke import verb  # noqa: PLC0415 - so that reading a record loads no check

    return verb.command(args)
