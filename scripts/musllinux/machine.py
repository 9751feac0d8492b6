"""What the machine refuses is not a bug (full disk, quota, read-only file system, permissions): a line and a remedy."""

import errno
import os
import re

from musllinux.errors import FactoryError

_ROOM = "make room (`musllinux clean`), or set MUSLLINUX_CACHE to a folder on another disk; a rerun goes on from here"
_RIGHTS = "let this user write there, or set MUSLLINUX_CACHE (downloads) or MUSLLINUX_ROOT (a clone) elsewhere"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
}
_INNER = re.compile(r"\[Errno (\d+)\]")


def refusal(error: OSError) -> FactoryError | None:
    """The error to show, or None where it is something else, and so a bug."""
    number, where = _which(error)
    if number not in _REMEDIES:
        return None
    return FactoryError(f"{where or 'this machine'}: {os.strerror(number)}", hint=_REMEDIES[number])


def _which(error: OSError) -> tuple[int, str]:
    """Its number and file; shutil.copytree collects what happened to each file, as text."""
    if error.errno is not None:
        return error.errno, str(error.filename or "")
    for failed in error.args[0] if error.args and isinstance(error.args[0], list) else ():
        source, target, why = failed
        if match := _INNER.search(str(why)):
            return int(match[1]), str(target or source)
    return 0, ""
