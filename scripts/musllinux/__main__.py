"""`python -m musllinux`, and what the installed command calls."""

import sys


def main() -> int:
    """The command line. Ctrl-C while it is still being imported is no traceback either."""
    try:
        from musllinux.cli import main as command  # noqa: PLC0415 - inside the try
    except KeyboardInterrupt:
        sys.stderr.write("musllinux: interrupted\n")
        return 130  # musllinux.errors.EXIT_INTERRUPTED, without an import that could be interrupted again
    return command()


if __name__ == "__main__":
    sys.exit(main())
