"""How long muslabi takes for 100 wheels of about 1 MB, against `auditwheel show` on the same files, in one run.

    python tests/bench/bench_muslabi.py [--auditwheel PATH] [--cache FOLDER] [--json]

Published wheels are downloaded with pip as it is configured here. Everything runs on one core, in processes of
its own. Both the wall clock and the processor's time are told: on a shared machine the latter is the measure.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

# Together 1.0 MB on average: C, Cython, C++ and Rust. `auditwheel show` stumbles over wheels that need plain
# "libc.so" on a machine where that is a linker script, so none of those.
PROJECTS = {
    "regex": "2026.11.15",
    "pyyaml": "6.0.3",
    "pynacl": "1.6.2",
    "tiktoken": "0.14.0",
    "multidict": "7.2.1",
    "brotli": "1.2.1",
}
COUNT = 100


def download(cache: Path) -> list[Path]:
    """The wheels, in the order of PROJECTS."""
    pins = [f"{name}=={version}" for name, version in PROJECTS.items()]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    target = ["--platform=musllinux_1_2_x86_64", "--python-version=3.13", "--implementation=cp"]
    subprocess.run([*command, *target, f"--dest={cache}", *pins], check=True)
    return sorted(cache.glob("*.whl"))


def spread(wheels: Sequence[Path], folder: Path) -> list[Path]:
    """COUNT wheels, each a file of its own."""
    copies = []
    for number in range(COUNT):
        wheel = wheels[number % len(wheels)]
        (folder / f"{number:03}").mkdir()
        copies.append(Path(shutil.copy(wheel, folder / f"{number:03}")))
    return copies


def timed(*commands: list[str]) -> tuple[float, float]:
    """(wall, processor) seconds of the commands, one after the other."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(wheels: list[Path], auditwheel: str) -> dict[str, tuple[float, float]]:
    muslabi = [sys.executable, "-m", "muslabi", "--ignore", "feature-relr"]
    best = min((timed([*muslabi, *map(str, wheels)]) for _ in range(3)), key=lambda one: one[1])
    return {
        "muslabi starts (--version)": min(timed([*muslabi, "--version"]) for _ in range(5)),
        f"muslabi, {COUNT} wheels in one process": best,
        f"muslabi, {COUNT} processes": timed(*([*muslabi, str(wheel)] for wheel in wheels)),
        f"auditwheel show, {COUNT} processes": timed(*([auditwheel, "show", str(wheel)] for wheel in wheels)),
    }


def machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, one of {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--auditwheel", default=shutil.which("auditwheel"), help="its command; else from PATH")
    parser.add_argument("--cache", type=Path, help="where the wheels are kept; else a temporary folder")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.auditwheel is None:
        print("bench_muslabi: there is no auditwheel on PATH; name one with --auditwheel", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheels = spread(download(given.cache or folder), folder)
        megabytes = sum(wheel.stat().st_size for wheel in wheels) / 1e6
        times = measure(wheels, given.auditwheel)
    day = f"{datetime.now(tz=UTC):%Y-%m-%d}"
    if given.json:
        print(json.dumps({"machine": machine(), "day": day, "megabytes": megabytes, "seconds": times}, indent=1))
        return 0
    print(f"{machine()}; {day}; {COUNT} wheels, {megabytes:.0f} MB; load {os.getloadavg()[0]:.1f}")
    for what, (wall, processor) in times.items():
        print(f"{what:40} {wall:7.2f} s wall {processor:7.2f} s processor")
    values = list(times.values())
    print(f"muslabi is {values[3][1] / values[1][1]:.0f} times as fast (processor time)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
