"""Runs the fuzzer over all targets and says how many inputs there were: `python run.py --runs 1000000`.

Needs atheris and nothing else in the interpreter that runs it: `pip install atheris`.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SHM = Path("/dev/shm")  # memory: a million small files would wear a disk
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from tests.unit.muslabi import elfmaker  # noqa: E402 - the path is set above


class FuzzerError(Exception):
    """The fuzzer stopped at an input, which lies in the corpus folder as found-*."""


# Shares of the runs: the ELF reader is where bytes are believed most easily.
SHARES = {"elf": 0.7, "tangle": 0.05, "wheel": 0.1, "info": 0.15}


def seeds(folder: Path) -> None:
    """Sound inputs of every kind, for the fuzzer to start from."""
    for target in SHARES:
        (folder / target).mkdir(parents=True, exist_ok=True)
    every: list[bytes] = []
    for arch, machine in elfmaker.MACHINES.items():
        recipe = elfmaker.Recipe(
            arch=arch,
            needed=["libc.so", "lib1.so", "libz.so.1"],
            required=["statx", "stat", "__time64", "open64", "PyLong_AsLong", "__memcpy_chk"],
            weak=["maybe"],
            defined=["PyInit_x", "give"],
            tls=["state"],
            relocations=[(min(machine.tpoff), "state"), (min(machine.irelative), ""), (1, "statx")],
            versions={"libc.so.6": "GLIBC_2.17", "lib1.so": "V1"},
            rpath="$ORIGIN:$ORIGIN/../thing.libs",
            relr=True,
            text=b"OpenSSL 1.1.1w  11 Sep 2023\0OPENSSLDIR: \0",
            comment=b"GCC: (Alpine 14.2.0) 14.2.0\0rustc version 1.90.0 (abc)\0",
        )
        every.append(elfmaker.make(recipe))
    for number, data in enumerate(every):
        (folder / "elf" / str(number)).write_bytes(data)
        (folder / "tangle" / str(number)).write_bytes(data + every[number - 1] + data)
        made = elfmaker.wheel(folder, {"a/x.so": data}, "cp39-abi3-musllinux_1_2_x86_64.musllinux_1_1_i686")
        made.rename(folder / "wheel" / str(number))
    texts = (
        b"Wheel-Version: 1.0\nTag: cp39-abi3-musllinux_1_2_x86_64\n",
        b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n\n",
        b"a/x.so,sha256=abc,4\nthing-1.0.dist-info/RECORD,,\n",
    )
    (folder / "info" / "0").write_bytes(b"\xff\xff".join(texts))


def fuzz(target: str, runs: int, corpus: Path) -> int:
    """The number of inputs tried. Raises FuzzerError when there was a crash, a hang or greed."""
    command = [sys.executable, str(Path(__file__).with_name("harness.py")), target, f"-runs={runs}"]
    options = ["-max_len=16384", "-timeout=60", "-rss_limit_mb=2048", f"-artifact_prefix={corpus}/found-"]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}", "PATH": "/usr/bin:/bin"}
    log = corpus / f"{target}.log"
    scratch = tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None)
    with scratch as environment["TMPDIR"], log.open("w") as stream:
        arguments = [*command, *options, str(corpus / target)]
        done = subprocess.run(arguments, stdout=stream, stderr=stream, check=False, env=environment)
    said = log.read_text(errors="replace")
    if done.returncode:
        raise FuzzerError(f"{target}: exit {done.returncode}, {log}\n{said[-4000:]}")
    count = re.search(r"Done (\d+) runs", said)
    return int(count[1]) if count else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path, help="a folder to keep (and go on from); else a temporary one")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    corpus = given.corpus or Path(tempfile.mkdtemp())
    seeds(corpus)
    total = 0
    start = time.monotonic()
    with ThreadPoolExecutor(given.jobs) as pool:
        counts = pool.map(lambda share: fuzz(share[0], int(given.runs * share[1]), corpus), SHARES.items())
        for target, count in zip(SHARES, counts, strict=True):
            print(f"{target:8} {count:9} inputs", flush=True)
            total += count
    print(f"{time.monotonic() - start:.0f} s")
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"{total} mutated inputs without a crash; {machine}; {datetime.now(tz=UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()
