"""A real run of another architecture: a program of a few instructions, started as the kernel starts any program."""

import os
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

EXIT = 42  # what the programs of exits.yaml end with
_BASE = 0x10000
_PATIENCE = 20  # seconds; an emulator on a loaded machine takes a tenth of one


def run(name: str) -> str:
    """Run the program of one of qemu's architectures; empty where it ended as it must, else what happened instead."""
    known = yaml.safe_load((Path(__file__).with_name("exits.yaml")).read_text())
    if name not in known:
        return f"no program for it in {Path(__file__).with_name('exits.yaml').name}"
    with tempfile.TemporaryDirectory(prefix="musllinux-") as folder:
        program = Path(folder) / "program"
        program.write_bytes(executable(known[name]))
        program.chmod(0o755)
        try:
            done = subprocess.run([program], capture_output=True, check=False, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            return f"a program of it does not end within {_PATIENCE} s"
        except OSError as error:
            return f"a program of it does not start: {os.strerror(error.errno or 0)}"
    return "" if done.returncode == EXIT else f"a program of it ends with {done.returncode}, not {EXIT}"


def executable(facts: dict[str, Any]) -> bytes:
    """A static ELF executable of one segment (System V ABI, chapter 4)."""
    wide, order = facts["bits"] == 64, "<" if facts["endian"] == "little" else ">"  # noqa: PLR2004 - bits
    code = bytes.fromhex(facts["code"])
    header, segment = (64, 56) if wide else (52, 32)
    size = header + segment + len(code)
    entry = _BASE + header + segment
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    word = "Q" if wide else "I"
    head = struct.pack(
        f"{order}HHI{word}{word}{word}IHHHHHH",
        *(2, facts["machine"], 1, entry, header, 0, facts["flags"], header, segment, 1, 0, 0, 0),
    )
    load, readable, aligned = 1, 5, 0x1000
    if wide:
        part = struct.pack(f"{order}IIQQQQQQ", load, readable, 0, _BASE, _BASE, size, size, aligned)
    else:
        part = struct.pack(f"{order}IIIIIIII", load, 0, _BASE, _BASE, size, size, readable, aligned)
    return ident + head + part + code
