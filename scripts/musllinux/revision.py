"""Labels that tell of which commit an image was made: the same commit gives the same ones, whenever it is built."""

import datetime as dt
import os
from pathlib import Path

from musllinux.errors import UsageError
from musllinux.run import CommandError, run

REVISION = "org.opencontainers.image.revision"


def labels(root: Path) -> dict[str, str]:
    """Revision, time and version of the repository's commit; SOURCE_DATE_EPOCH names another time.

    A folder that is of no repository (a tarball) has the revision `unknown`. Raises UsageError as `source_date` does.
    """
    shown = _git(root, "show", "-s", "--format=%H %ct", "HEAD")
    revision, _, seconds = (shown or "unknown 0").partition(" ")
    if shown and _git(root, "status", "--porcelain") != "":
        revision += "-modified"
    moment = source_date() or dt.datetime.fromtimestamp(int(seconds), dt.UTC)
    return {
        REVISION: revision,
        "org.opencontainers.image.created": moment.isoformat(timespec="seconds"),
        "org.opencontainers.image.version": moment.strftime("%Y.%m.%d"),
    }


def source_date() -> dt.datetime | None:
    """The time that SOURCE_DATE_EPOCH names, in seconds since 1970 UTC; None where it is not set or empty.

    https://reproducible-builds.org/specs/source-date-epoch/. Raises UsageError where it is anything else.
    """
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not said:
        return None
    try:
        if not (said.isascii() and said.isdigit()):
            raise ValueError(said)
        return dt.datetime.fromtimestamp(int(said), dt.UTC)
    except (ValueError, OverflowError, OSError):  # also what no calendar or no integer reaches
        raise UsageError(
            f"SOURCE_DATE_EPOCH={said[:40]}: not a time in seconds since 1970, such as 1764115200",
            hint="a commit's own is `git show -s --format=%ct`; unset, it is that of this commit",
        ) from None


def _git(root: Path, *words: str) -> str | None:
    """What git says; None where it fails or is not there."""
    try:
        done = run(["git", "-C", str(root), *words], check=False)
    except CommandError:
        return None
    return done.output if done.code == 0 else None
