"""context: what BuildKit gets for an image, its digest, its secrets and the floor's symbols."""

import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musllinux import context, inputs
from musllinux.context import Stock, floor_symbols, project_wheel, secrets, tree_digest
from musllinux.errors import FactoryError
from musllinux.model import Archive, Image, Interpreter, Selection, Supply, resolve
from musllinux.run import Completed, run
from musllinux.toollock import Wheel

from ..images.scripts import BUILD
from .factory import ROOT, everything, shipped

MATRIX = shipped()
IMAGES = {image.id: image for image in resolve(MATRIX, everything(MATRIX))}
IMAGE = IMAGES["musllinux_1_2_x86_64"]


def from_supply(**changes: str) -> Image:
    return resolve(MATRIX, replace(everything(MATRIX), **changes), Selection(ids=(IMAGE.id,)))[0]  # type: ignore[arg-type]


# --- the digest -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "build").mkdir(parents=True)
    (root / "build/a.sh").write_text("#!/bin/sh\n")
    (root / "build/b.py").write_text("x = 1\n")
    (root / "link").symlink_to("build/a.sh")
    for path in (root / "build/a.sh", root / "build/b.py"):
        path.chmod(0o644)
    return root


Step = Callable[[Path], object]
UNSEEN: dict[str, list[Step]] = {
    "times": [lambda root: os.utime(root / "build/a.sh", (1, 1))],
    "compiled files": [
        lambda root: (root / "build/__pycache__").mkdir(),
        lambda root: (root / "build/__pycache__/b.cpython-311.pyc").write_text("x"),
    ],
    "who else may write": [lambda root: (root / "build/a.sh").chmod(0o664)],
    "an empty folder": [lambda root: (root / "more").mkdir()],
}
SEEN: dict[str, list[Step]] = {
    "content": [lambda root: (root / "build/b.py").write_text("x = 2\n")],
    "the executable bit": [lambda root: (root / "build/a.sh").chmod(0o755)],
    "a name": [lambda root: (root / "build/a.sh").rename(root / "build/c.sh")],
    "a folder's name": [lambda root: (root / "build").rename(root / "built")],
    "a new file": [lambda root: (root / "build/c").write_text("")],
    "a file less": [lambda root: (root / "build/b.py").unlink()],
    "where a link leads": [
        lambda root: (root / "link").unlink(),
        lambda root: (root / "link").symlink_to("build/b.py"),
    ],
    "a link that leads nowhere": [lambda root: (root / "more").symlink_to("nowhere")],
    "a link in place of what it leads to": [
        lambda root: (root / "build/b.py").rename(root.parent / "b.py"),
        lambda root: (root / "build/b.py").symlink_to("../../b.py"),
    ],
    "a name that is not UTF-8": [lambda root: Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("")],
    "two files whose contents are exchanged": [
        lambda root: (root / "build/a.sh").rename(root / "x"),
        lambda root: (root / "build/b.py").rename(root / "build/a.sh"),
        lambda root: (root / "x").rename(root / "build/b.py"),
    ],
}


@pytest.mark.parametrize("steps", UNSEEN.values(), ids=UNSEEN)
def test_the_digest_does_not_see(tree: Path, steps: list[Step]) -> None:
    before = tree_digest(tree)
    for step in steps:
        step(tree)
    assert tree_digest(tree) == before


@pytest.mark.parametrize("steps", SEEN.values(), ids=SEEN)
def test_the_digest_sees(tree: Path, steps: list[Step]) -> None:
    before = tree_digest(tree)
    for step in steps:
        step(tree)
    assert tree_digest(tree) != before


def test_the_digest_is_the_same_wherever_the_tree_stands(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "elsewhere", symlinks=True)
    assert tree_digest(tmp_path / "elsewhere") == tree_digest(tree)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=3)), max_size=3))
def test_files_side_by_side_are_never_taken_for_another_tree(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, str]]
) -> None:
    """Names and contents run into each other in no way that gives the same digest."""
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for name, text in files:
        (first / name).write_text(text, encoding="utf-8")
    whole = "".join(text for _, text in files)
    (second / ("".join(name for name, _ in files) or "x")).write_text(whole, encoding="utf-8")
    same = {p.name: p.read_bytes() for p in first.iterdir()} == {p.name: p.read_bytes() for p in second.iterdir()}
    assert (tree_digest(first) == tree_digest(second)) == same


# --- the floor ------------------------------------------------------------------------------------------------------

NEWER_THAN_1_2_2 = {"statx", "qsort_r", "preadv2", "pwritev2", "pthread_getname_np"}
TIME64 = {"__clock_gettime64", "__stat_time64", "__nanosleep_time64", "__time64"}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_a_floor_has_what_every_musl_has_sorted_and_once(image: Image) -> None:
    names = floor_symbols(image).splitlines()
    assert names == sorted(set(names))
    assert {"printf", "malloc", "pthread_create", "environ", "__environ", "__libc_start_main", "stat"} <= set(names)
    assert len(names) > 1400
    assert not [name for name in names if not name.strip() or " " in name]


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_nothing_newer_than_the_policys_oldest_musl_is_in_its_floor(image: Image) -> None:
    assert not NEWER_THAN_1_2_2 & set(floor_symbols(image).splitlines())


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_both_names_of_time_functions_are_there_on_32_bit_from_1_2_on_and_nowhere_else(image: Image) -> None:
    """musl 1.2 gave 32-bit architectures a 64-bit time_t under new names, and kept the old ones for old programs."""
    names = set(floor_symbols(image).splitlines())
    assert {"clock_gettime", "stat", "nanosleep", "time"} <= names
    expected = TIME64 if image.arch.bits == 32 and image.policy.time_t_32 == 64 else set()
    assert TIME64 & names == expected


def test_1_1_has_less_than_1_2() -> None:
    for arch in MATRIX.architectures:
        old = set(floor_symbols(IMAGES[f"musllinux_1_1_{arch}"]).splitlines())
        new = set(floor_symbols(IMAGES[f"musllinux_1_2_{arch}"]).splitlines())
        assert len(old) < len(new)
        assert "gettid" in new - old  # musl 1.2.2's


# --- secrets --------------------------------------------------------------------------------------------------------

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=30)
@given(st.lists(st.dictionaries(st.sampled_from(["http_proxy", "HTTPS_PROXY", "no_proxy"]), text), max_size=20))
def test_whatever_a_proxy_is_called_a_shell_reads_it_back(cases: list[dict[str, str]]) -> None:
    """One shell for many cases: each prints its values, ended by NUL."""
    script = ""
    expected: list[str] = []
    for values in cases:
        names = list(values)
        printed = " ".join(f'"${name}"' for name in names)
        script += f"(\n{secrets(IMAGE, values)}printf '%s\\0' {printed} \"$APK_REPOSITORIES\"\n)\n"
        expected += [*values.values(), " ".join(IMAGE.repositories)]
    done = subprocess.run(["sh", "-eu"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == expected
    assert done.stderr == b""


def apk_sees(script: str, *names: str) -> list[str]:
    """Variables of the environment of `apk`, as a program on PATH sees them after the secret is sourced."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "apk"
        program.write_text("#!/bin/sh\n" + "".join(f'printf "%s\\n" "${{{name}:-}}"\n' for name in names))
        program.chmod(0o755)
        (Path(folder) / "sources").write_text(script)
        sources = (BUILD / "sources.sh").read_text()
        for place in ("/run/secrets", "/dev/shm", "/usr/share/apk/keys", "/etc/apk/keys"):
            sources = sources.replace(place, folder)
        text = f"PATH={folder}:$PATH\n{sources}\nexport APK_REPOSITORIES\napk\n"
        return subprocess.run(["sh", "-eu"], input=text, capture_output=True, check=True, text=True).stdout.splitlines()


HARD = {"http_proxy": "http://a:b%3Ac@p:1", "https_proxy": "http://me:d%2Fe%27f@p:2"}


def test_what_apk_would_not_decode_is_given_apart_from_the_url() -> None:
    """apk 2.10 (Alpine 3.12) sends p%40ss as it stands; HTTP_AUTH and HTTP_PROXY_AUTH it takes decoded."""
    image = from_supply(mirror="https://reader:p%40ss@mirror.example/alpine")
    names = ("APK_REPOSITORIES", "HTTP_AUTH", "HTTP_PROXY_AUTH", "http_proxy", "https_proxy")
    assert apk_sees(secrets(image, HARD), *names) == [
        "https://mirror.example/alpine/v3.22/main https://mirror.example/alpine/v3.22/community",
        "basic:*:reader:p@ss",
        "basic:*:me:d/e'f",
        "http://p:1",
        "http://p:2",
    ]


def test_other_programs_than_apk_get_the_proxies_as_the_user_wrote_them() -> None:
    """cargo downloads what std needs; it decodes."""
    script = secrets(IMAGE, HARD) + 'printf "%s\n" "$http_proxy" "$https_proxy" "${HTTP_PROXY_AUTH:-none}"'
    done = subprocess.run(["sh", "-eu"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == [*HARD.values(), "none"]


def test_the_lower_case_spelling_is_what_apk_gets() -> None:
    proxies = {"https_proxy": "http://a:b%40@p:1", "HTTPS_PROXY": "http://c:d%40@p:2"}
    assert apk_sees(secrets(IMAGE, proxies), "https_proxy", "HTTP_PROXY_AUTH") == ["http://p:1", "basic:*:a:b@"]


def test_a_proxy_that_is_written_without_a_scheme_is_given_apart_likewise() -> None:
    proxies = {"http_proxy": "me:d%2Fe@p:1", "https_proxy": "me:d%2Fe@p:2"}
    names = ("HTTP_PROXY_AUTH", "http_proxy", "https_proxy")
    assert apk_sees(secrets(IMAGE, proxies), *names) == ["basic:*:me:d/e", "p:1", "p:2"]


def test_plain_users_and_passwords_stay_in_their_urls() -> None:
    script = secrets(from_supply(mirror="https://reader:pass@mirror.example/alpine"), {"https_proxy": "http://a:b@p:2"})
    assert "https://reader:pass@mirror.example/alpine/v3.22/main" in script
    assert "HTTP_AUTH=''\nhttps_proxy=http://a:b@p:2\n" in script
    assert "APK_HTTP" not in script


def test_secrets_are_assignments_that_do_nothing_else(tmp_path: Path) -> None:
    image = from_supply(mirror=f"https://u:$(touch {tmp_path}/x)`touch {tmp_path}/x`;touch {tmp_path}/x@h/alpine")
    subprocess.run(["sh", "-eu"], input=secrets(image, {}).encode(), check=True)
    assert list(tmp_path.iterdir()) == []


def test_the_sources_own_key_is_named_without_its_folder() -> None:
    image = from_supply(apk_key="/cache/keys/standin@local.rsa.pub")
    assert "APK_KEY_NAME=standin@local.rsa.pub\n" in secrets(image, {})
    assert "APK_KEY_NAME=''\n" in secrets(IMAGE, {})


def test_repositories_are_of_the_bases_own_release() -> None:
    assert f"APK_REPOSITORIES='{IMAGE.supply.mirror}/v3.22/main {IMAGE.supply.mirror}/v3.22/community'" in secrets(
        IMAGE, {}
    )


# --- assembling -----------------------------------------------------------------------------------------------------


def made_up_wheel(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / name).exists():  # a cache writes a file once
        with zipfile.ZipFile(folder / name, "w") as made:
            made.writestr(zipfile.ZipInfo(f"{name.partition('-')[0]}/__init__.py"), "")
    return folder / name


class Downloads:
    """In place of inputs: files that say what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archives: list[str] = []
        self.wheels: list[tuple[str, str]] = []
        self.fail = False

    def cpython_archive(self, _: Path, __: Supply, archive: Archive, ___: object, ____: object) -> Path:
        if self.fail:
            raise FactoryError("no network")
        self.archives.append(archive.version)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / archive.file).exists():
            (self.folder / archive.file).write_text(archive.version)
        return self.folder / archive.file

    def fetch(self, _: Path, image: Image, python: Interpreter, wanted: Iterable[Wheel], __: object) -> list[Path]:
        found = list(wanted)
        self.wheels += [(python.tag, wheel.project) for wheel in found]
        assert image.id == IMAGE.id
        return [made_up_wheel(self.folder, wheel.file) for wheel in found]


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Downloads:
    made = Downloads(tmp_path / "downloads")
    monkeypatch.setattr(inputs, "cpython_archive", made.cpython_archive)
    monkeypatch.setattr(inputs, "wheels", made.fetch)
    monkeypatch.setattr(
        context, "project_wheel", lambda source, _: made_up_wheel(made.folder, f"{source.name}-1.0-py3-none-any.whl")
    )
    return made


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def stock(tmp_path: Path, root: Path = ROOT) -> Stock:
    return Stock(root=root, cache=tmp_path / "cache", ca_bundle=None, report=lambda _: None)


def test_a_context_holds_everything_that_the_dockerfile_takes_from_it(tmp_path: Path, downloads: Downloads) -> None:
    made = context.assemble(IMAGE, stock(tmp_path), tmp_path / "build/context")
    assert made.path == tmp_path / "build/context"
    assert made.digest == tree_digest(made.path)
    names = {str(path.relative_to(made.path)) for path in made.path.rglob("*") if path.is_file()}
    assert {"build/cpython.sh", "rootfs/usr/local/bin/musllinux-entrypoint", "floor/symbols"} <= names
    assert {f"archives/{python.archive.file}" for python in IMAGE.interpreters} <= names
    assert len(downloads.archives) == len(IMAGE.series), "each series once"
    assert "installer/installer/__init__.py" in names
    assert (made.path / "floor/symbols").read_text() == floor_symbols(IMAGE)


def test_every_environment_is_specified_with_wheels_that_are_there(tmp_path: Path, downloads: Downloads) -> None:
    made = context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    for python in IMAGE.interpreters:
        folder = made.path / "tools" / python.tag
        (spec,) = json.loads((folder / "spec.json").read_text())
        assert spec["prefix"] == python.prefix
        assert spec["python"] == f"{python.prefix}/bin/{python.executable}"
        assert spec["venv"] is None
        assert spec["requested"] == ["pip", "build"]
        assert {path.name for path in (folder / "wheels").iterdir()} == set(spec["wheels"])
    specs = json.loads((made.path / "tools/isolated/spec.json").read_text())
    assert [spec["prefix"].rpartition("/")[2] for spec in specs] == [tool.name for tool in IMAGE.tools]
    there = {path.name for path in (made.path / "tools/isolated/wheels").iterdir()}
    for spec, tool in zip(specs, IMAGE.tools, strict=True):
        assert spec["venv"]["executable"] == f"{IMAGE.tool_host.prefix}/bin/{IMAGE.tool_host.executable}"
        assert spec["commands"] == list(tool.commands)
        assert set(spec["wheels"]) <= there
    own = next(spec for spec in specs if spec["prefix"].endswith("/muslabi"))
    assert "muslabi-1.0-py3-none-any.whl" in own["wheels"]
    assert ("cp314-cp314t", "pip") in downloads.wheels


def test_two_assemblies_have_the_same_digest(tmp_path: Path, downloads: Downloads) -> None:
    first = context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    second = context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    third = context.assemble(IMAGE, stock(tmp_path), tmp_path / "elsewhere")
    assert first.digest == second.digest == third.digest
    assert downloads.archives


def placed(made: context.Context) -> list[os.stat_result]:
    """What stands in a context of the cache's files, which were last written at 1."""
    return [path.stat() for part in ("archives", "tools") for path in (made.path / part).rglob("*.[wt]*")]


def test_files_of_the_cache_are_not_copied_and_keep_their_times(tmp_path: Path, downloads: Downloads) -> None:
    first = context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    for path in downloads.folder.iterdir():
        os.utime(path, (1, 1))
    again = context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    files = placed(again)
    assert again.digest == first.digest
    assert {file.st_mtime for file in files} == {1}
    cached = {path.stat().st_ino for path in downloads.folder.glob("Python-*")}
    assert cached
    assert cached <= {file.st_ino for file in files}
    assert len(files) == len({file.st_ino for file in files}), "BuildKit treats two names of one file apart"


def test_modes_of_the_cache_s_files_are_not_set_anew_which_only_their_owner_may(
    tmp_path: Path, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    with umask(0o022):
        context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    cached = {path.stat().st_ino for path in downloads.folder.iterdir()}
    real = Path.chmod

    def chmod(path: Path, mode: int) -> None:
        assert path.stat().st_ino not in cached
        real(path, mode)

    monkeypatch.setattr(Path, "chmod", chmod)
    made = context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    assert cached & {file.st_ino for file in placed(made)}


def test_where_a_file_cannot_have_two_names_it_is_copied_with_its_time(
    tmp_path: Path, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    linked = context.assemble(IMAGE, stock(tmp_path), tmp_path / "linked")
    for path in downloads.folder.iterdir():
        os.utime(path, (1, 1))
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    copied = context.assemble(IMAGE, stock(tmp_path), tmp_path / "copied")
    files = placed(copied)
    assert copied.digest == linked.digest
    assert {(file.st_mtime, file.st_nlink) for file in files} == {(1, 1)}


def test_an_overlays_own_tool_locks_are_what_its_wheels_come_from(tmp_path: Path, downloads: Downloads) -> None:
    shutil.copytree(ROOT / "lock", tmp_path / "mine.lock/lock")
    own = tmp_path / "mine.lock/lock/pylock.interpreter.toml"
    own.write_text((ROOT / "lock/pylock.installer.toml").read_text())
    context.assemble(IMAGE, replace(stock(tmp_path), locks=tmp_path / "mine.lock"), tmp_path / "context")
    assert ("cp314-cp314", "installer") in downloads.wheels
    assert ("cp314-cp314", "build") not in downloads.wheels


@pytest.mark.usefixtures("downloads")
def test_what_stood_there_before_is_gone(tmp_path: Path) -> None:
    (tmp_path / "context/archives").mkdir(parents=True)
    (tmp_path / "context/archives/Python-2.7.tar").write_text("")
    (tmp_path / "context.new/left").mkdir(parents=True)
    made = context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    assert not (made.path / "archives/Python-2.7.tar").exists()
    assert not (made.path / "left").exists()


def test_a_failure_leaves_the_context_of_before_and_no_half_of_a_new_one(tmp_path: Path, downloads: Downloads) -> None:
    before = context.assemble(IMAGE, stock(tmp_path), tmp_path / "context").digest
    downloads.fail = True
    with pytest.raises(FactoryError, match="no network"):
        context.assemble(IMAGE, stock(tmp_path), tmp_path / "context")
    assert tree_digest(tmp_path / "context") == before
    assert {path.name for path in tmp_path.iterdir()} == {"context", "downloads"}


@pytest.mark.usefixtures("downloads")
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_modes_in_the_image_do_not_follow_the_umask_of_who_cloned_or_builds(tmp_path: Path, mask: int) -> None:
    """COPY keeps modes: under umask 077 nobody but root could read /etc/profile.d in the image."""
    root = tmp_path / "clone"
    with umask(mask):
        for name in ("images/files", "lock"):
            for path in (ROOT / name).rglob("*"):
                target = root / path.relative_to(ROOT)
                if path.is_file() and "__pycache__" not in path.parts:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(path.read_bytes())
                    target.chmod((0o777 if os.access(path, os.X_OK) else 0o666) & ~mask)
        made = context.assemble(IMAGE, stock(tmp_path, root), tmp_path / "context").path
    for path in made.rglob("*"):
        mode = path.stat().st_mode & 0o777
        assert mode == 0o755 if path.is_dir() else mode in (0o644, 0o755), path
    assert (made / "rootfs/usr/local/bin/musllinux-entrypoint").stat().st_mode & 0o777 == 0o755
    assert (made / "rootfs/etc/profile.d/musllinux.sh").stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("downloads")
def test_compiled_files_beside_the_scripts_do_not_reach_the_build(tmp_path: Path) -> None:
    root = tmp_path / "clone"
    for name in ("images/files", "lock"):
        shutil.copytree(ROOT / name, root / name)
    (root / "images/files/build/__pycache__").mkdir(exist_ok=True)
    (root / "images/files/build/__pycache__/scrub.cpython-311.pyc").write_text("")
    made = context.assemble(IMAGE, stock(tmp_path, root), tmp_path / "context").path
    assert not list(made.rglob("__pycache__"))


# --- this repository's own package ----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of one module, as small as they get."""
    folder = tmp_path / "sources/made_up"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "made-up"\nversion = "1.0"\n[tool.setuptools]\npy-modules = ["made_up"]\n'
    )
    (folder / "made_up.py").write_text("x = 1\n")
    return folder


def test_a_wheel_of_this_repositorys_own_is_made_once_for_each_state_of_its_sources(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Sequence[str | Path]] = []

    def counted(argv: Sequence[str | Path], **more: Any) -> Completed:
        runs.append(argv)
        return run(argv, **more)

    monkeypatch.setattr(context, "run", counted)
    first = project_wheel(package, tmp_path / "cache")
    assert project_wheel(package, tmp_path / "cache") == first
    assert first.name == "made_up-1.0-py3-none-any.whl"
    assert len(runs) == 1
    (package / "made_up.py").write_text("x = 2\n")
    changed = project_wheel(package, tmp_path / "cache")
    assert len(runs) == 2
    assert zipfile.ZipFile(changed).read("made_up.py") == b"x = 2\n"
    assert zipfile.ZipFile(first).read("made_up.py") == b"x = 1\n"
    assert {path.name for path in package.iterdir()} == {"pyproject.toml", "made_up.py"}, "sources stay clean"
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"projects"}


def test_what_an_install_from_the_sources_left_in_them_is_not_packed(package: Path, tmp_path: Path) -> None:
    clean = project_wheel(package, tmp_path / "cache")
    left = package / "build/lib"
    left.mkdir(parents=True)
    (left / "long_gone.py").write_text("")
    (package / "made_up.egg-info").mkdir()
    (package / "made_up.egg-info/PKG-INFO").write_text("")
    assert project_wheel(package, tmp_path / "cache") == clean
    assert "long_gone.py" not in zipfile.ZipFile(project_wheel(package, tmp_path / "other")).namelist()


def test_a_package_that_cannot_be_built_leaves_nothing_that_is_taken_for_its_wheel(
    package: Path, tmp_path: Path
) -> None:
    pyproject = package / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("setuptools.build_meta", "nowhere_to_be_found"))
    for _ in range(2):
        with pytest.raises(FactoryError, match="made_up"):
            project_wheel(package, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_a_cache_that_cannot_be_made_is_named(package: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FactoryError, match=f"{tmp_path}/file") as caught:
        project_wheel(package, tmp_path / "file/cache")
    assert "MUSLLINUX_CACHE" in caught.value.hint
