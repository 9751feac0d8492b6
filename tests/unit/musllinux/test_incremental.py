"""A change is built again as far as it reaches, and no further: counted, step by step, without an engine."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from musllinux import render, toollock
from musllinux.context import floor_symbols
from musllinux.model import Archive, Image, Selection, Supply, resolve
from musllinux.schema import Matrix

from .factory import ROOT, everything, shipped
from .steps import Step, again, steps

MATRIX = shipped()
ID = "musllinux_1_2_x86_64"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("templates", "images/files", "lock"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def made(root: Path, supply: Supply | None = None, matrix: Matrix = MATRIX, name: str = ID) -> list[Step]:
    (image,) = resolve(matrix, supply or everything(matrix), Selection(ids=(name,)))
    text = render.dockerfile(image, root / "templates")
    return steps(text, image.contents, lambda path: content(root, image, path))


def content(root: Path, image: Image, path: str) -> str:
    """A digest of what the driver puts at this path of the context, without downloading it: sums are in the locks."""
    here = root / "images/files" / path
    kind, _, name = path.partition("/")
    if here.exists():
        return digest(here)
    if kind == "archives":
        return next(i.archive.sha256 + i.archive.version for i in image.interpreters if i.archive.file == name)
    if kind == "floor":
        return floor_symbols(image)
    if kind == "installer":
        return str(toollock.select(root, toollock.INSTALLER, image, image.tool_host))
    if name == "isolated":
        locks = {tool.lock for tool in image.tools if tool.lock}
        return str([image.tools, *(toollock.select(root, lock, image, image.tool_host) for lock in sorted(locks))])
    interpreter = next(i for i in image.interpreters if i.tag == name)
    return str((interpreter.prefix, toollock.select(root, "interpreter", image, interpreter)))


def digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return hashlib.sha256(b"\0".join(str(f).encode() + f.read_bytes() for f in files)).hexdigest()


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


def newer(series: str) -> Supply:
    supply = everything(MATRIX)
    archive = Archive(version=f"{series}.10", file=f"Python-{series}.10.tar.xz", sha256="1" * 64)
    return replace(supply, archives={**supply.archives, series: archive})


def test_nothing_changed_is_nothing_to_do(root: Path) -> None:
    assert again(made(root), made(root)) == []


@pytest.mark.parametrize("template", ["Dockerfile.j2", "stages/sysroot.j2", "stages/cpython.j2", "stages/system.j2"])
def test_a_comment_in_a_template_is_nothing_to_do(root: Path, template: str) -> None:
    before = made(root)
    edit(root / "templates" / template, lambda text: f"# why this is so\n{text}")
    assert again(before, made(root)) == []


def test_a_new_release_of_one_series_is_compiled_and_the_others_are_not(root: Path) -> None:
    found = again(made(root), made(root, newer("3.13")))
    compiled = [step for step in found if not step.startswith("image: ")]
    assert compiled == ["build-python-3.13: RUN", "cp313-cp313: RUN", "cp313-cp313-tools: RUN"]
    tags = list(MATRIX.interpreters)
    later = len(tags[tags.index("cp313-cp313") :])
    copied = Counter(step for step in found if step.startswith("image: "))
    assert copied == {"image: COPY": 2 * later + 1}, "the layers above it are laid again, those below are not"


def test_the_series_that_runs_the_tools_takes_them_along(root: Path) -> None:
    """Its build Python installs the wheels of every interpreter and cleans the system's libraries: seconds each."""
    found = again(made(root), made(root, newer("3.14")))
    stages = {step.split(":")[0] for step in found}
    assert {"build-python-3.14", "cp314-cp314", "cp314-cp314t", "tools", "system"} <= stages
    compiled = {stage for stage in stages if stage.startswith(("build-python", "cp")) and not stage.endswith("-tools")}
    assert compiled == {"build-python-3.14", "cp314-cp314", "cp314-cp314t"}
    assert not {"native", "sysroot", "cross"} & stages


def test_a_newer_tool_is_installed_and_nothing_is_compiled(root: Path) -> None:
    before = made(root)
    edit(root / "lock/pylock.nox.toml", spoil)
    assert again(before, made(root)) == ["tools: RUN", "image: COPY"]


def spoil(text: str) -> str:
    """Another sum for the lock's first pure wheel, as a newer release has it."""
    start = text.index("-none-any.whl")
    at = text.index('sha256 = "', start) + len('sha256 = "')
    return f"{text[:at]}{'0' * 64}{text[at + 64 :]}"


def test_a_file_of_the_root_changes_the_system_alone(root: Path) -> None:
    before = made(root)
    entrypoint = next((root / "images/files/rootfs").rglob("musllinux-entrypoint"))
    edit(entrypoint, lambda text: f"{text}\n# changed\n")
    stages = Counter(step.split(":")[0] for step in again(before, made(root)))
    assert set(stages) == {"system", "configured", "image"}
    assert stages["system"] == 3, "the root, the floor, system.sh; no package is unpacked again"


def test_a_package_that_only_the_image_has_leaves_compilers_and_interpreters_alone(root: Path) -> None:
    system = [*MATRIX.packages.system, "zsh"]
    matrix = MATRIX.model_copy(update={"packages": MATRIX.packages.model_copy(update={"system": system})})
    stages = {step.split(":")[0] for step in again(made(root), made(root, matrix=matrix))}
    assert stages == {"system", "configured", "image"}


def test_native_work_is_shared_by_images_of_one_machine_and_release(root: Path) -> None:
    """The build Pythons are compiled once, whatever the number of architectures."""
    found = again(made(root), made(root, name="musllinux_1_2_s390x"))
    assert not [step for step in found if step.startswith(("native:", "build-python-", "installer:"))]
