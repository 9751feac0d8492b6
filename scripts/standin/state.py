"""state.json: what the stand-in serves and where, for the driver and for people (format 1)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from standin.cache import write_atomically
from standin.errors import StandinError

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """A base in the registry. `reference` is a tag over all architectures, `digest` this one's manifest.

    `role` is "build" (packages are installed on it, for `policy`) or "trial" (pristine, wheels run on it).
    """

    apk_arch: str
    release: str
    version: str
    origin: str
    role: str
    policy: str
    musl: str
    reference: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything served. `pid` is the HTTP server's, None after `down`.

    `index` has the SHA-256 of each APKINDEX.tar.gz by place ("v3.20/main/x86_64"), `archives` file and
    SHA-256 by CPython version, `without` the series that could not be had and why,
    `lacks` by policy and apk architecture
    ("musllinux_1_2/x86_64") the packages images ask for that cannot be had.
    """

    pid: int | None
    mirror: str
    python: str
    registry: str
    key: str
    bases: tuple[BaseImage, ...]
    archives: Mapping[str, Mapping[str, str]]
    without: Mapping[str, str]
    index: Mapping[str, str]
    lacks: Mapping[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """As state.json has it."""
        return {"format": FORMAT, **asdict(self)}

    def save(self, root: Path) -> None:
        """Write state.json of the cache at `root`, in one step, if it says something new."""
        content = (json.dumps(self.to_json(), indent=1) + "\n").encode()
        path = root / "state.json"
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)

    def stopped(self) -> "State":
        """The same with nothing running."""
        return replace(self, pid=None)


def load_state(root: Path) -> State | None:
    """The state of the cache at `root`; None if there never was one.

    Raises StandinError for a file of another format or a damaged one.
    """
    path = root / "state.json"
    try:
        document = json.loads(path.read_bytes())
        if document.pop("format") != FORMAT:
            raise ValueError("another format")
        document["bases"] = tuple(BaseImage(**entry) for entry in document["bases"])
        document["lacks"] = {arch: tuple(names) for arch, names in document["lacks"].items()}
        return State(**document)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StandinError(f"{path} cannot be read: {error}", hint="remove it and run `standin up`") from error
