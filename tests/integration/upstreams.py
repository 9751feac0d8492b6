"""Upstream's hosts in miniature, filled with what the stand-in has, and a repository that builds from them.

The stand-in's packages are signed with its own key: the base image gets that key in a layer of its own. Everything else
is as upstream has it: names of hosts, paths, token authentication, archives, digests.
"""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.upstream import Upstream

from standin.state import State

IMAGE = "musllinux_1_9_x86_64"  # a policy of the tests' own: no image of anybody else's is replaced
RELEASE = "3.22"
TRIAL = "3.13"  # the first release with the floor's musl
OVERLAY = """\
extends: default
policies:
  musllinux_1_1: null
  musllinux_1_2: null
  musllinux_1_9: {{alpine: "{release}", floor: "1.2.2", time_t_32: 64, trials: ["{trial}"], without: [libatomic]}}
architectures: {{i686: null, aarch64: null, armv7l: null, ppc64le: null, s390x: null}}
interpreters:
  cp39-cp39: null
  cp310-cp310: null
  cp311-cp311: null
  cp312-cp312: null
  cp313-cp313: null
  cp314-cp314t: null
  cp315-cp315: null
  cp315-cp315t: null
libraries: {{tk: null}}
tools:
  host: [cp314-cp314]
  isolated: {{abi3audit: null, cmake: null, ninja: null, nox: null, swig: null, pipx: null, uv: null}}
packages: {{system: {{remove: [libatomic]}}}}
sources:
  upstream:
    mirror: {mirror}
    python: {python}
    base: {base}
"""


def filled(state: State, cache: Path) -> Upstream:
    """What the stand-in of `cache` serves, as upstream would."""
    site = cache / "standin/site"
    upstream = Upstream()
    (base,) = [b for b in state.bases if b.role == "build" and b.apk_arch == "x86_64" and b.policy == "musllinux_1_2"]
    served = site / f"alpine/v{base.release}"
    for path in served.rglob("*"):
        if path.is_file():
            upstream.files[f"/alpine/v{RELEASE}/{path.relative_to(served)}"] = path
    for version, facts in state.archives.items():
        suffix = facts["file"].split(version + ".")[1]
        path = site / "python" / version / facts["file"]
        upstream.python(version, path, suffix=suffix)
    (pristine,) = (site / f"alpine/v{TRIAL}/releases/x86_64").glob("*.tar.gz")
    upstream.image("library/alpine", f"{TRIAL}.12", {"linux/amd64": [pristine.read_bytes()]})
    (rootfs,) = (served / "releases/x86_64").glob("*.tar.gz")
    upstream.image("library/alpine", f"{RELEASE}.6", {"linux/amd64": [rootfs.read_bytes(), _key_layer(state)]})
    upstream.tags["library/alpine"][RELEASE] = upstream.tags["library/alpine"][f"{RELEASE}.6"]
    return upstream


def _key_layer(state: State) -> bytes:
    """The stand-in's key, and something that no base had before: no step is in BuildKit's cache, all must download."""
    key = Path(state.key)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in ((f"etc/apk/keys/{key.name}", key.read_bytes()), ("etc/tests-run", os.urandom(16))):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A copy of this repository with an overlay, and the environment its commands run in."""

    root: Path
    overlay: Path
    env: Mapping[str, str]

    @property
    def lock(self) -> Path:
        """What `lock` writes: the overlay's own."""
        return self.overlay.with_suffix(".lock") / "lock.yaml"

    def run(self, *words: str, timeout: float = 3000) -> subprocess.CompletedProcess[str]:
        """`musllinux WORDS --matrix=OVERLAY`; both streams in stdout."""
        argv = [sys.executable, "-m", "musllinux", *words, f"--matrix={self.overlay}"]
        return subprocess.run(
            argv,
            cwd=self.root,
            env=dict(self.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )


# In place of the scripts that compile, for tests of everything but compilers: a quarter of an hour becomes nothing.
NO_COMPILING = {
    "cpython.sh": """\
#!/bin/sh
# cpython.sh ARCHIVE BUILD-PYTHON OUT, as it were
set -eu
mkdir -p "$3$PREFIX/bin" "$3/opt/python"
sha256sum <"$1" >"$3$PREFIX/archive"
printf '#!/bin/sh\\necho not compiled\\n' >"$3$PREFIX/bin/python$SERIES$SUFFIX"
chmod +x "$3$PREFIX/bin/python$SERIES$SUFFIX"
ln -s "$PREFIX" "$3/opt/python/$TAG"
""",
    "build-python.sh": """\
#!/bin/sh
# build-python.sh ARCHIVE OUT, as it were: a Python that copies tools to where they would be installed
set -eu
mkdir -p "$2"
sha256sum <"$1" >"$2/archive"
cat >"$2/python" <<'END'
#!/bin/sh
case $1 in
*/install_tools.py) mkdir -p "$3/opt/tools" && cp -r "$2" "$3/opt/tools/" ;;
esac
END
chmod +x "$2/python"
""",
}


def copied(root: Path, *, compiling: bool = False) -> None:
    """This repository's files that a build reads, in `root`; unless `compiling`, without interpreters and Rust."""
    for name in ("images/files", "templates", "lock", "scripts/muslabi"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("matrix.yaml", "lock.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    if compiling:
        return
    for name, text in NO_COMPILING.items():
        (root / "images/files/build" / name).write_text(text)
    (root / "templates/stages/rust.j2").write_text("FROM native AS rust\nRUN mkdir /out\n")


def repository(folder: Path, env: Mapping[str, str], **sources: str) -> Repository:
    """One in `folder`, with an overlay that names these sources (mirror, python, base)."""
    root = folder / "repository"
    copied(root)
    overlay = folder / "overlay.yaml"
    overlay.write_text(OVERLAY.format(release=RELEASE, trial=TRIAL, **sources))
    own = {
        "MUSLLINUX_ROOT": str(root),
        "MUSLLINUX_CACHE": str(folder / "cache"),
        "DOCKER_CONFIG": str(folder / "docker"),
    }
    path = os.pathsep.join([str(ROOT / "scripts"), os.environ.get("PYTHONPATH", "")])
    return Repository(root=root, overlay=overlay, env={**os.environ, "PYTHONPATH": path, **own, **env})
