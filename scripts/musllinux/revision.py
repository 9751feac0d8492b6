"""Labels that tell of which commit an image was made: the same commit gives the same ones, whenever it is built."""

import datetime as dt
import os
from pathlib import Path

from musllinux.run import run

REVISION = "org.opencontainers.image.revision"


def labels(root: Path) -> dict[str, str]:
    """Revision, time and version of the repository's commit; SOURCE_DATE_EPOCH (seconds) names another time."""
    git = ["git", "-C", str(root)]
    shown = run([*git, "show", "-s", "--format=%H %ct", "HEAD"], check=False)
    revision, _, seconds = shown.output.partition(" ") if shown.code == 0 else ("unknown", "", "0")
    if run([*git, "status", "--porcelain"], check=False).output:
        revision += "-modified"
    moment = dt.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", seconds)), dt.UTC)
    return {
        REVISION: revision,
        "org.opencontainers.image.created": moment.isoformat(timespec="seconds"),
        "org.opencontainers.image.version": moment.strftime("%Y.%m.%d"),
    }
