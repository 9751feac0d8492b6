"""Build an image, drop every cache of the engine, build it again, compare.

    unshare --net sh -c 'ip link set lo up; exec python -m tests.reproducible.twice --folder F --cache C'

F is an engine's own folder (tests.chaos.engine), C a cache that has everything: the network is cut.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.kills import IMAGE, Place, prepare
from tests.reproducible.compare import differences, entries, opened


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--interpreter", default="cp311-cp311")
    asked = parser.parse_args()
    place = prepare(asked.folder.absolute(), asked.cache.absolute(), asked.interpreter, whole=True)
    place.engine.start()
    os.environ["DOCKER_HOST"] = place.engine.host
    try:
        one = _built(place)
        _forget(place)
        other = _built(place)
    finally:
        place.start("standin", "down").wait()
        place.engine.stop()
    with one.open("rb") as a, other.open("rb") as b:
        found = list(differences(entries(a), entries(b)))
    print("\n".join(found) or f"the same files ({one.stat().st_size / 1e6:.0f} MB)")
    return 1 if found else 0


def _built(place: Place) -> Path:
    """Build, and export the image's files. Raises RuntimeError where the build fails."""
    process = place.build()
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(said[-2000:])
    number = len(list(place.engine.folder.glob("export-*.tar")))
    path = place.engine.folder / f"export-{number}.tar"
    with opened(f"{IMAGE}:latest") as stream, path.open("wb") as out:
        while chunk := stream.read(1 << 20):
            out.write(chunk)
    return path


def _forget(place: Place) -> None:
    """The image and BuildKit's cache, of this engine alone."""
    docker = ["docker", f"--host={place.engine.host}"]
    subprocess.run([*docker, "image", "rm", "--force", f"{IMAGE}:latest"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*docker, "builder", "prune", "--all", "--force"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
