"""Runs the fuzzer over all targets and says how many inputs there were: `python run.py --runs 1000000`.

Needs atheris (and nothing else) in the interpreter that runs it: `pip install atheris muslabi`.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from tests.unit.muslabi import elfmaker  # noqa: E402 - the path is set above

# Shares of the runs: the ELF reader is where bytes are believed most easily.
SHARES = {"elf": 0.6, "tangle": 0.1, "wheel": 0.15, "info": 0.15}


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
            text=b"OpenSSL 1.1.1w  11 Sep 2023\0",
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
    """The number of inputs tried. Raises CalledProcessError when the fuzzer found a crash, hang or greed."""
    command = [sys.executable, str(Path(__file__).with_name("harness.py")), target, f"-runs={runs}"]
    options = ["-max_len=16384", "-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={corpus}/found-"]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, *options, str(corpus / target)], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-8000:], sep="\n")
        done.check_returncode()
    count = re.search(r"Done (\d+) runs", done.stderr)
    return int(count[1]) if count else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path, help="a folder to keep (and go on from); else a temporary one")
    given = parser.parse_args()
    corpus = given.corpus or Path(tempfile.mkdtemp())
    seeds(corpus)
    total = 0
    for target, share in SHARES.items():
        start = time.monotonic()
        count = fuzz(target, int(given.runs * share), corpus)
        total += count
        print(f"{target:8} {count:9} inputs in {time.monotonic() - start:7.0f} s", flush=True)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"{total} mutated inputs without a crash; {machine}; {datetime.now(tz=UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()
