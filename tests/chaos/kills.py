"""kill -9 at random moments of `musllinux build`, then the same command again: it must end well, with no cleaning.

    unshare --net sh -c 'ip link set lo up; exec python -m tests.chaos.kills --folder F --cache C --count 100'

Interpreters are not compiled: killed are the driver, downloads, apk, BuildKit and its caches, not compilers; with
--whole it is the image as users build it, with its compilers and Rust, and a round takes minutes. With --smoke it is
tried as well, as `make images` does, and kills hit its checks, too (those that need a package index are left out).
Everything is cached beforehand (the cache is the driver's, with the stand-in's products; the folder has the engine's
data). Each round spoils something small, starts a build, kills its victim after a random time or at a random line of
output (which is a step's boundary), and runs the build again. A line of JSON for each round goes to F/kills.jsonl.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.engine import Engine
from tests.conftest import ROOT
from tests.integration.upstreams import copied

from musllinux.smoke import record as smoke_record

IMAGE = "musllinux_1_2_x86_64"
# A small system: its packages are unpacked and its layers are written in every second round.
OVERLAY = "extends: default\npackages: {system: [bash, ca-certificates, musl-dev, zlib-dev]}\n"
VICTIMS = ("driver", "driver and docker", "mirror", "registry", "engine")
LIMIT = 1800  # seconds for one build
CHECK = "bash --version >/dev/null && /opt/python/*/bin/python3* && test -e /opt/tools/tools/spec.json && echo whole"
CHECK_WHOLE = (
    "gcc --version && rustc --version && auditwheel --version && /opt/python/*/bin/python -c 'import ssl' && echo whole"
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    said: str
    seconds: float

    @property
    def last(self) -> str:
        """The line that says what went wrong, if any."""
        return next((line for line in self.said.splitlines() if line.startswith("musllinux: ")), "")


@dataclass(frozen=True, kw_only=True)
class Round:
    """What happened. `killed`: whether the victim lived when its time came. `wrong`: empty where all is well."""

    number: int
    victim: str
    spoilt: str
    moment: str
    killed: bool
    first_code: int
    first_line: str
    again_seconds: float
    wrong: tuple[str, ...]


@dataclass(kw_only=True)
class Place:
    """A repository of its own, an engine of its own, a cache."""

    root: Path
    cache: Path
    engine: Engine
    interpreter: str
    whole: bool
    smoke: bool = False
    typical: float = 20.0  # seconds that a round's build takes, learnt as it goes
    lines: int = 16  # of output, likewise
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        own = {
            "MUSLLINUX_ROOT": str(self.root),
            "MUSLLINUX_CACHE": str(self.cache),
            "DOCKER_HOST": self.engine.host,
            "PYTHONPATH": str(ROOT / "scripts"),
            "CI": "1",
        }
        return {**os.environ, **own}

    def start(self, *words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "musllinux", *words]
        return subprocess.Popen(
            argv, env=self.env, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def build(self) -> subprocess.Popen[str]:
        words = ["--sources=standin", f"--interpreters={self.interpreter}", IMAGE, *(["--smoke"] if self.smoke else [])]
        return self.start("build", *([] if self.whole else [f"--matrix={self.root}/small.yaml"]), *words)

    @property
    def spoils(self) -> dict[str, tuple[tuple["Spoil", ...], int]]:
        """By name: what is done, and how often beside the others."""
        return {**SPOILS, **(WHOLE_SPOILS if self.whole else {}), **(SMOKE_SPOILS if self.smoke else {})}


def prepare(folder: Path, cache: Path, interpreter: str, *, whole: bool = False, smoke: bool = False) -> Place:
    """A copy of this repository in `folder`, whatever an earlier campaign has done to its copy."""
    root = folder / "repository"
    shutil.rmtree(root, ignore_errors=True)
    copied(root, compiling=whole)
    shutil.copytree(ROOT / "tests/wheels", root / "tests/wheels")  # what --smoke builds
    (root / "small.yaml").write_text(OVERLAY)
    place = Place(root=root, cache=cache, engine=Engine(folder), interpreter=interpreter, whole=whole, smoke=smoke)
    if smoke:  # so that kills hit it from the beginning
        place.typical, place.lines = 90.0, 20
    return place


# --- what a round spoils, so that there is something to do ---------------------------------------------------------

Spoil = Callable[[Place, random.Random], None]


def _comment(name: str) -> Spoil:
    def spoil(place: Place, chance: random.Random) -> None:
        path = place.root / name
        text = (ROOT / name).read_text()
        path.write_text(f"{text}# {chance.random()}\n")

    return spoil


def _archive(place: Place, _: random.Random) -> None:
    """A download from the mirror."""
    for path in place.cache.glob("files/*/*/Python-*"):
        path.unlink()


def _record(place: Place, _: random.Random) -> None:
    (place.root / "build" / IMAGE / "build.json").unlink(missing_ok=True)


def _tried(place: Place, _: random.Random) -> None:
    (place.root / "build" / IMAGE / "smoke.json").unlink(missing_ok=True)


SPOILS: dict[str, tuple[tuple[Spoil, ...], int]] = {
    "nothing but the record": ((_record,), 2),
    "the record and the archive": ((_record, _archive), 2),
    "the tools' script": ((_comment("images/files/build/install_tools.py"),), 3),
    "a file of the root": ((_comment("images/files/rootfs/usr/local/bin/musllinux-floor"),), 3),
    "the system's script": ((_comment("images/files/build/system.sh"),), 2),  # every package is unpacked again
}
WHOLE_SPOILS: dict[str, tuple[tuple[Spoil, ...], int]] = {
    "the interpreter's script": ((_comment("images/files/build/cpython.sh"),), 6),
    "std's script": ((_comment("images/files/build/rust-std.sh"),), 4),
    "Rust's script": ((_comment("images/files/build/rust.sh"),), 2),
}


SMOKE_SPOILS: dict[str, tuple[tuple[Spoil, ...], int]] = {"what the smoke test found": ((_tried,), 9)}


# --- one round ------------------------------------------------------------------------------------------------------


def play(place: Place, number: int, chance: random.Random, victims: Sequence[str]) -> Round:
    victim = chance.choice(list(victims))
    (spoilt,) = chance.choices(list(place.spoils), [weight for _, weight in place.spoils.values()])
    for spoil in place.spoils[spoilt][0]:
        spoil(place, chance)
    by_line = chance.random() < 0.5
    moment = f"line {chance.randrange(place.lines)}" if by_line else f"{chance.uniform(0, place.typical):.2f} s"
    first, killed = _interrupted(place, victim, moment)
    if victim == "engine":
        place.engine.kill()  # what is left of it
        place.engine.start()
    again = _to_the_end(place.build())
    if not killed:  # it was over sooner: later rounds are to hit
        place.typical = max(3.0, 0.7 * first.seconds)
        place.lines = max(4, first.said.count("\n"))
    wrong = [*_judge_first(victim, first), *_judge_again(place, again)]
    return Round(
        number=number,
        victim=victim,
        spoilt=spoilt,
        moment=moment,
        killed=killed,
        first_code=first.code,
        first_line=first.last[:200],
        again_seconds=round(again.seconds, 1),
        wrong=tuple(wrong),
    )


def _interrupted(place: Place, victim: str, moment: str) -> tuple[Ended, bool]:
    """Start a build and kill at the moment; how it ended, and whether it was still going then."""
    process = place.build()
    due = threading.Event()
    said: list[str] = []
    line = int(moment.removeprefix("line ")) if moment.startswith("line") else None

    def read() -> None:
        assert process.stdout is not None
        for text in process.stdout:
            said.append(text)
            if line is not None and len(said) > line:
                due.set()
        due.set()

    reader = threading.Thread(target=read)
    started = time.monotonic()
    reader.start()
    due.wait(LIMIT if line is not None else float(moment.removesuffix(" s")))
    alive = process.poll() is None
    if alive:
        _kill(place, victim, process)
    try:
        process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        said.append("musllinux: did not end\n")
    if victim.startswith("driver"):
        reader.join(1)  # docker may hold the pipe
    else:
        reader.join(10)
    return Ended(code=process.wait(), said="".join(said), seconds=time.monotonic() - started), alive


def _kill(place: Place, victim: str, process: subprocess.Popen[str]) -> None:
    pids: list[int] = []
    match victim:
        case "driver":
            pids = [process.pid]
        case "driver and docker":
            pids = [process.pid, *_children(process.pid)]
        case "engine":
            place.engine.kill()
        case service:
            pids = _service(place, service)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _service(place: Place, name: str) -> list[int]:
    """The process of the stand-in's mirror or registry, from its record."""
    with suppress(OSError, ValueError, KeyError):
        record: dict[str, Any] = json.loads((place.cache / "standin/run" / f"{name}.json").read_text())
        return [int(record["pid"])]
    return []


def _to_the_end(process: subprocess.Popen[str]) -> Ended:
    started = time.monotonic()
    try:
        said, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        said = f"{process.communicate()[0]}musllinux: did not end\n"
    return Ended(code=process.returncode, said=said, seconds=time.monotonic() - started)


def _judge_first(victim: str, first: Ended) -> list[str]:
    """A run whose helper died says so in a line with a remedy, or ends well."""
    if victim.startswith("driver") or first.code == 0:
        return []
    wrong = []
    if "Traceback" in first.said:
        wrong.append(f"traceback: {first.said[-600:]}")
    elif not first.last or "  hint: " not in first.said:
        wrong.append(f"no line with a remedy: {first.said[-600:]}")
    return wrong


def _judge_again(place: Place, again: Ended) -> list[str]:
    if again.code != 0:
        return [f"the rerun ends with {again.code}: {again.said[-1500:]}"]
    record = json.loads((place.root / "build" / IMAGE / "build.json").read_text())
    check = CHECK_WHOLE if place.whole else CHECK
    done = _docker(place, "run", "--rm", "--network=none", record["image"], "sh", "-c", check)
    wrong = [] if done.stdout.endswith("whole\n") else [f"the image does not work: {done.stderr[-300:]}"]
    named = _docker(place, "image", "inspect", "--format={{.Id}}", f"{IMAGE}:latest").stdout.strip()
    if named != record["image"]:
        wrong.append(f"the tag is {named}, the record {record['image']}")
    if place.smoke:
        wrong += _judge_smoke(place, record["image"])
    return [*wrong, *_half_written(place)]


def _judge_smoke(place: Place, image: str) -> list[str]:
    """The record of the smoke test is green and of this image, and no container of it is left."""
    tried = smoke_record.read(place.root / "build", IMAGE)
    wrong = [] if tried and tried.green and tried.image == image else ["the smoke test's record is not green"]
    listed = _docker(place, "ps", "--all", "--quiet").stdout.split()
    return [*wrong, *([f"containers are left: {' '.join(listed)}"] if listed else [])]


def _docker(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    argv = ["docker", f"--host={place.engine.host}", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def _half_written(place: Place) -> list[str]:
    """Files that stand in the cache under a sum that they do not have."""
    return [
        f"half written: {path}"
        for path in place.cache.glob("files/*/*/[!.]*")
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.parent.name
    ]


def campaign(place: Place, count: int, seed: int, victims: Sequence[str], report: Path) -> list[Round]:
    """Play `count` rounds; what each gave is appended to `report` at once."""
    chance = random.Random(seed)  # noqa: S311 - a campaign must be repeatable
    rounds = []
    for number in range(count):
        rounds.append(play(place, number, chance, victims))
        with report.open("a") as out:
            out.write(json.dumps(asdict(rounds[-1])) + "\n")
        print(f"{number}: {rounds[-1].victim}, {rounds[-1].moment}: {rounds[-1].wrong or 'ok'}", flush=True)
    return rounds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, required=True, help="the engine's data, the repository's copy, the report"
    )
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--interpreter", default="cp311-cp311")
    parser.add_argument("--whole", action="store_true", help="the image as users build it")
    parser.add_argument("--smoke", action="store_true", help="try the image, too")
    parser.add_argument("--victims", nargs="+", default=list(VICTIMS), choices=VICTIMS)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the engine is stopped
    place = prepare(
        asked.folder.absolute(), asked.cache.absolute(), asked.interpreter, whole=asked.whole, smoke=asked.smoke
    )
    place.engine.start()
    try:
        first = _to_the_end(place.build())
        if first.code:
            print(first.said)
            return 1
        rounds = campaign(place, asked.count, asked.seed, asked.victims, asked.folder / "kills.jsonl")
    finally:
        subprocess.run(
            [sys.executable, "-m", "musllinux", "standin", "down"], env=place.env, cwd=place.root, check=False
        )
        place.engine.stop()
    bad = [each for each in rounds if each.wrong]
    print(f"{sum(each.killed for each in rounds)} kills, {len(rounds)} reruns, {len(bad)} with something wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
