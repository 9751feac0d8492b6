"""One way to run a program: a failing command is shown so that it can be pasted and run again."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from standin.errors import StandinError

_TAIL = 12


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    stdin: bytes | None = None,
) -> str:
    """Run `argv` and return its standard output as text.

    `env` is laid over the process's own environment. With `log`, both streams are appended to that file and
    the answer is empty. Raises StandinError with the command, its exit code and the last lines it said.
    """
    command = [str(word) for word in argv]
    merged = {**os.environ, **(env or {})}
    try:
        if log is None:
            return _captured(command, cwd, merged, stdin)
        return _logged(command, cwd, merged, stdin, log)
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise StandinError(f"no folder {cwd} to run {command[0]} in") from error
        raise StandinError(f"{command[0]} is not on this machine", hint=f"install it: {error}") from error


def _captured(command: list[str], cwd: Path | None, env: Mapping[str, str], stdin: bytes | None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, input=stdin or b"", capture_output=True, check=False)
    if done.returncode:
        raise failed(command, done.returncode, (done.stderr or done.stdout).decode(errors="replace"))
    return done.stdout.decode(errors="replace")


def _logged(command: list[str], cwd: Path | None, env: Mapping[str, str], stdin: bytes | None, log: Path) -> str:
    with log.open("ab") as stream:
        stream.write(f"+ {shlex.join(command)}\n".encode())
        stream.flush()
        start = stream.tell()
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            input=stdin or b"",
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        with log.open("rb") as stream:
            stream.seek(start)
            said = stream.read().decode(errors="replace")
        raise failed(command, done.returncode, said, log)
    return ""


def failed(command: Sequence[str], code: int, said: str, log: Path | None = None) -> StandinError:
    """The error for a command that ended with `code` after saying `said`."""
    lines = said.strip().splitlines()[-_TAIL:]
    text = "".join(f"\n    {line}" for line in lines)
    hint = f"the full log is {log}" if log else ""
    return StandinError(f"exit code {code} from: {shlex.join(command)}{text}", hint=hint)
