"""Where a recipe's files come from: `sources:`, a list of mappings, each of one of these forms.

- debs (a list), suite, arch: `host`, `target` or a Debian name
- wheel (name==version), sha256, platform, python
- tree: one of the recipe's `needs`
- source (a package), suite, archive, inner, members: members of the source package's tarball `archive`, or of
  the tarball `inner` inside that; all three are patterns, `members` a list of them
"""

import bz2
import fnmatch
import gzip
import lzma
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from standin import process
from standin.builders.host import this_host
from standin.catalogue import Inputs, Target
from standin.errors import StandinError

_BLOCK = 1 << 20
_OPENERS: Mapping[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


def roots(sources: Sequence[Mapping[str, Any]], target: Target, inputs: Inputs) -> list[Path]:
    """The trees that `sources` names, in their order. Raises StandinError for a form nobody knows."""
    found: list[Path] = []
    for source in sources:
        found += _roots(source, target, inputs)
    return found


def debian_arch(name: str, target: Target) -> str:
    """Debian's architecture for `host` and `target`; any other name is one already."""
    return {"host": this_host().debian_arch, "target": target.debian_arch}.get(name, name)


def _roots(source: Mapping[str, Any], target: Target, inputs: Inputs) -> list[Path]:
    match source:
        case {"debs": packages, "suite": suite, "arch": arch}:
            return inputs.debs(suite, debian_arch(arch, target), list(packages))
        case {"wheel": requirement}:
            narrowing = (source.get("sha256"), source.get("platform"), source.get("python"))
            return [inputs.wheel(requirement, *narrowing)]
        case {"tree": recipe}:
            return [inputs.tree(recipe)]
        case {"source": package, "suite": suite, "archive": archive, "members": members}:
            tarball = named(inputs.source(suite, package), archive)
            folder = inputs.work / f"source-{package}"
            unpack(tarball, folder, members, source.get("inner"))
            return [folder]
    raise StandinError(f"sources: cannot read {dict(source)!r}", hint="see standin/builders/sources.py")


def named(paths: Sequence[Path], pattern: str) -> Path:
    """The first path whose file name matches; raises StandinError if none does."""
    for path in paths:
        if fnmatch.fnmatch(path.name, pattern):
            return path
    names = ", ".join(path.name for path in paths)
    raise StandinError(f"no {pattern} among {names}", hint="mend the recipe")


def unpack(tarball: Path, folder: Path, members: Sequence[str] = (), inner: str | None = None) -> None:
    """Unpack a tarball (or the tarball `inner` inside it) without its top folder.

    Of its members those below the top folder that match a pattern (`*` crosses slashes), or all.
    tar does it, which is several times faster than Python on GCC's 140,000 files; decompressing is Python's,
    since not every machine has xz.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["tar", "-x", "--no-same-owner", "--strip-components=1", "--wildcards", "-C", str(folder)]
    command += [f"*/{pattern}" for pattern in members]
    with ExitStack() as stack:
        stream = _plain(stack, tarball.name, stack.enter_context(tarball.open("rb")))
        if inner is not None:
            stream = _inner(stack, tarball, stream, inner)
        tar = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        _, said = _fed(tar, stream)
    if tar.returncode:
        raise process.failed(command, tar.returncode, said.decode(errors="replace"))


def _fed(tar: subprocess.Popen[bytes], stream: IO[bytes]) -> tuple[bytes, bytes]:
    assert tar.stdin is not None  # noqa: S101 - it was asked for
    with suppress(BrokenPipeError):  # tar stops reading when it fails; what it says is better than this
        shutil.copyfileobj(stream, tar.stdin, _BLOCK)
    return tar.communicate()


def _plain(stack: ExitStack, name: str, stream: IO[bytes]) -> IO[bytes]:
    opener = _OPENERS.get(Path(name).suffix)
    return stream if opener is None else stack.enter_context(opener(stream))


def _inner(stack: ExitStack, tarball: Path, stream: IO[bytes], pattern: str) -> IO[bytes]:
    archive = stack.enter_context(tarfile.open(fileobj=stream))  # noqa: SIM115 - the stack closes it
    for member in archive:
        content = archive.extractfile(member) if fnmatch.fnmatch(Path(member.name).name, pattern) else None
        if content is not None:
            return _plain(stack, member.name, content)
    raise StandinError(f"no {pattern} in {tarball.name}", hint="mend the recipe")
