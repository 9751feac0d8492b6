"""Errors a user can act on: the command line makes one line, a hint and an exit code of them.

A traceback is a bug.
"""

from dataclasses import dataclass

EXIT_OK = 0
EXIT_FAILED = 1  # something asked for failed; a summary says which
EXIT_USAGE = 2  # bad usage or a bad matrix
EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell expects


@dataclass
class FactoryError(Exception):
    """Something asked for could not be done.

    message: one line, with the place it concerns (file:line, image, step or command).
    hint: what to do about it, one line, or empty.
    log: the file with the whole story, or empty.
    """

    message: str
    hint: str = ""
    log: str = ""
    exit_code: int = EXIT_FAILED

    def __str__(self) -> str:
        return self.message


@dataclass
class UsageError(FactoryError):
    """Bad arguments or a bad matrix."""

    exit_code: int = EXIT_USAGE
