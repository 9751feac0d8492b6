"""Secrets as files that a program started here can read, and that are in no folder: nothing is left after kill -9."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Held:
    """Paths by name, for a program that gets `fds` (`run(…, pass_fds=…)`)."""

    paths: Mapping[str, Path]
    fds: tuple[int, ...]


@contextmanager
def held(contents: Mapping[str, bytes]) -> Iterator[Held]:
    """The contents as files for the length of the block: in memory on Linux, else in a folder of this user's own."""
    with ExitStack() as stack:
        made = {name: _made(stack, content) for name, content in contents.items()}
        fds = tuple(fd for _, fd in made.values() if fd is not None)
        yield Held(paths={name: path for name, (path, _) in made.items()}, fds=fds)


def _made(stack: ExitStack, content: bytes) -> tuple[Path, int | None]:
    if not hasattr(os, "memfd_create"):
        file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="musllinux-"))  # noqa: SIM115 - mode 0600
        file.write(content)
        file.flush()
        return Path(file.name), None
    fd = os.memfd_create("musllinux")
    stack.callback(os.close, fd)
    with os.fdopen(os.dup(fd), "wb") as out:
        out.write(content)
    return Path(f"/dev/fd/{fd}"), fd
