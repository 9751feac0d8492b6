"""toollock: which locked wheels an image gets, whatever the lock's file holds."""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.upstream import Reply, answer, basic, listening

from musllinux import certificates, toollock
from musllinux.errors import FactoryError, UsageError
from musllinux.matrix import load
from musllinux.model import Image, Interpreter, Selection, Tool, resolve
from musllinux.run import Completed, run
from musllinux.toollock import Wheel, platforms, select

from .factory import ROOT, SHIPPED, everything, shipped

IMAGES = {image.id: image for image in resolve(shipped(), everything(shipped()))}
SUM = "a" * 64
NAMED = [pytest.param(image, id=name) for name, image in IMAGES.items()]


def lock_text(*files: str, project: str = "thing", version: str = "1.0", more: str = "") -> str:
    """A lock of one package with these wheels."""
    wheels = ", ".join(f'{{ path = "{file}", hashes = {{ sha256 = "{SUM}" }} }}' for file in files)
    return (
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\n'
        f'name = "{project}"\nversion = "{version}"\n{more}wheels = [{wheels}]\n'
    )


def locked(root: Path, text: str | bytes, name: str = "thing") -> Path:
    place = toollock.lock_path(root, name)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return place


def chosen(root: Path, text: str, image: Image, interpreter: Interpreter | None = None) -> list[str]:
    locked(root, text)
    return [wheel.file for wheel in select(root, "thing", image, interpreter or image.tool_host)]


def with_lock(image: Image) -> Iterator[tuple[Tool, str]]:
    """The tools that come from an index, and their locks; this repository's own have none."""
    for tool in image.tools:
        if tool.lock:
            yield tool, tool.lock


# --- the committed locks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", NAMED)
def test_every_tool_of_every_image_has_its_wheels_whichever_interpreter_hosts_it(image: Image) -> None:
    hosts = [python for python in image.interpreters if python.tag in shipped().tools.host]
    assert len(hosts) > 1
    for host in (hosts[0], hosts[-1]):  # the oldest and the newest
        assert select(ROOT, toollock.INSTALLER, image, host)
        for tool, lock in with_lock(image):
            projects = [wheel.project for wheel in select(ROOT, lock, image, host)]
            assert tool.name in projects, f"{tool.name} on {host.tag}"


@pytest.mark.parametrize("image", NAMED)
def test_every_interpreter_of_every_image_gets_pip_and_build(image: Image) -> None:
    for python in image.interpreters:
        wheels = {wheel.project: wheel.file for wheel in select(ROOT, "interpreter", image, python)}
        assert {"pip", "build"} <= set(wheels)
        assert all(file.endswith("-none-any.whl") for file in wheels.values())
        assert ("tomli" in wheels) == (python.series in ("3.9", "3.10"))


@pytest.mark.parametrize("image", NAMED)
def test_no_wheel_asks_for_a_newer_musl_than_the_image_promises(image: Image) -> None:
    """A tool of an image must start on every system that its base may be, and no other architecture's can."""
    accepted = platforms(image)
    for _, lock in with_lock(image):
        for wheel in select(ROOT, lock, image, image.tool_host):
            named = wheel.file.removesuffix(".whl").rpartition("-")[2].split(".")
            assert named == ["any"] or set(named) & set(accepted), wheel.file


def tools(name: str) -> dict[str, str]:
    """Version of each tool of an image, by its name."""
    image = IMAGES[name]
    found = {}
    for tool, lock in with_lock(image):
        wheels = select(ROOT, lock, image, image.tool_host)
        found[tool.name] = next(w.version for w in wheels if w.project == tool.name)
    return found


def test_musl_1_1_has_the_last_releases_that_were_made_for_it() -> None:
    old, new = tools("musllinux_1_1_x86_64"), tools("musllinux_1_2_x86_64")
    assert set(old) == set(new)
    assert {name for name in old if old[name] != new[name]} == {"cmake", "ninja", "swig"}
    assert (old["cmake"], old["ninja"], old["swig"]) == ("4.0.3", "1.11.1.4", "4.2.1")


def test_what_has_no_wheel_for_an_image_is_left_out_of_that_image_alone() -> None:
    full = set(tools("musllinux_1_2_x86_64"))
    without = {name: full - set(tools(name)) for name in IMAGES}
    assert {name: tools for name, tools in without.items() if tools} == {
        "musllinux_1_2_ppc64le": {"uv"},
        "musllinux_1_2_s390x": {"uv"},
        "musllinux_1_1_armv7l": {"cmake", "ninja", "swig"},
        "musllinux_1_1_ppc64le": {"uv"},
        "musllinux_1_1_s390x": {"uv"},
    }


def test_the_locks_are_those_that_the_matrix_asks_for() -> None:
    from musllinux.lock import wanted  # noqa: PLC0415

    committed = {path.name.split(".")[1] for path in (ROOT / "lock").iterdir()}
    assert committed == set(wanted(shipped()))


def test_no_lock_names_a_host() -> None:
    """Wheels come through the user's own index: a host in a lock would be the machine's on which it was written."""
    for path in (ROOT / "lock").iterdir():
        assert "://" not in path.read_text(), path


# --- choosing -------------------------------------------------------------------------------------------------------


def test_the_wheel_of_the_images_own_policy_comes_before_that_of_an_older_one(tmp_path: Path) -> None:
    files = ["thing-1.0-py3-none-musllinux_1_1_x86_64.whl", "thing-1.0-py3-none-musllinux_1_2_x86_64.whl"]
    files += ["thing-1.0-py3-none-manylinux_2_17_x86_64.whl", "thing-1.0-py3-none-any.whl"]
    assert chosen(tmp_path, lock_text(*files), IMAGES["musllinux_1_2_x86_64"]) == [files[1]]
    assert chosen(tmp_path, lock_text(*files), IMAGES["musllinux_1_1_x86_64"]) == [files[0]]
    assert chosen(tmp_path, lock_text(*files), IMAGES["musllinux_1_2_s390x"]) == [files[3]]


def test_a_free_threaded_interpreter_gets_its_own_abi_and_never_the_stable_one(tmp_path: Path) -> None:
    image = IMAGES["musllinux_1_2_x86_64"]
    pythons = {python.tag: python for python in image.interpreters}
    tail = "-musllinux_1_2_x86_64.whl"
    own, gil, stable = f"thing-1.0-cp314-cp314t{tail}", f"thing-1.0-cp314-cp314{tail}", f"thing-1.0-cp39-abi3{tail}"
    pure = "thing-1.0-py3-none-any.whl"
    assert chosen(tmp_path, lock_text(own, gil, stable, pure), image, pythons["cp314-cp314t"]) == [own]
    assert chosen(tmp_path, lock_text(own, gil, stable, pure), image, pythons["cp314-cp314"]) == [gil]
    assert chosen(tmp_path, lock_text(stable, pure), image, pythons["cp314-cp314"]) == [stable]
    assert chosen(tmp_path, lock_text(stable, pure), image, pythons["cp314-cp314t"]) == [pure]


@pytest.mark.parametrize(
    ("marker", "where"),
    [
        ("platform_machine == 's390x'", {"musllinux_1_2_s390x"}),
        ("sys_platform == 'win32'", set()),
        ("python_version < '3.15' and platform_machine == 'i686'", {"musllinux_1_2_i686"}),
        ("implementation_name == 'cpython'", {"musllinux_1_2_s390x", "musllinux_1_2_i686"}),
    ],
)
def test_markers_are_those_of_the_target_and_not_of_this_machine(tmp_path: Path, marker: str, where: set[str]) -> None:
    text = lock_text("thing-1.0-py3-none-any.whl", more=f'marker = "{marker}"\n')
    asked = ("musllinux_1_2_s390x", "musllinux_1_2_i686")
    assert {name for name in asked if chosen(tmp_path, text, IMAGES[name])} == where


def test_a_32_bit_arm_answers_to_the_name_its_kernel_gives(tmp_path: Path) -> None:
    text = lock_text("thing-1.0-py3-none-any.whl", more="marker = \"platform_machine == 'armv7l'\"\n")
    assert chosen(tmp_path, text, IMAGES["musllinux_1_2_armv7l"])


def test_wheels_come_sorted_with_project_version_and_sum(tmp_path: Path) -> None:
    second = lock_text("aa-2.0-py3-none-any.whl", project="aa", version="2.0").partition("[[packages]]")[2]
    locked(tmp_path, lock_text("thing-1.0-py3-none-any.whl") + "[[packages]]" + second)
    image = IMAGES["musllinux_1_2_x86_64"]
    assert select(tmp_path, "thing", image, image.tool_host) == [
        Wheel(project="aa", version="2.0", file="aa-2.0-py3-none-any.whl", sha256=SUM),
        Wheel(project="thing", version="1.0", file="thing-1.0-py3-none-any.whl", sha256=SUM),
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("musllinux_1_2", ["musllinux_1_2_s390x", "musllinux_1_1_s390x", "musllinux_1_0_s390x", "linux_s390x"]),
        ("musllinux_1_1", ["musllinux_1_1_s390x", "musllinux_1_0_s390x", "linux_s390x"]),
    ],
)
def test_platform_tags_go_down_from_the_policys_own(policy: str, expected: list[str]) -> None:
    assert platforms(IMAGES[f"{policy}_s390x"]) == expected


# --- mistakes -------------------------------------------------------------------------------------------------------


def complaint(root: Path, image: str = "musllinux_1_2_x86_64") -> FactoryError:
    chosen_image = IMAGES[image]
    with pytest.raises(FactoryError) as caught:
        select(root, "thing", chosen_image, chosen_image.tool_host)
    return caught.value


def test_a_lock_that_is_not_there_is_named_with_its_remedy(tmp_path: Path) -> None:
    error = complaint(tmp_path)
    assert error.message == f"{tmp_path}/lock/pylock.thing.toml: no such lock"
    assert "musllinux lock" in error.hint


def test_a_target_without_a_wheel_is_named_with_image_and_interpreter(tmp_path: Path) -> None:
    locked(tmp_path, lock_text("thing-1.0-py3-none-musllinux_1_2_x86_64.whl"))
    message = complaint(tmp_path, "musllinux_1_1_x86_64").message
    assert "'thing'" in message
    assert "cp314-cp314 on musllinux_1_1_x86_64" in message


BROKEN = {
    "not TOML": "lock-version = ",
    "empty": "",
    "not text": b"\xff\xfe\x00",
    "deeply nested": "x = " + "[" * 5000,
    "another format": 'lock-version = "2.0"\ncreated-by = "x"\npackages = []\n',
    "packages of a wrong kind": 'lock-version = "1.0"\ncreated-by = "x"\npackages = "all"\n',
    "a bad marker": lock_text("thing-1.0-py3-none-any.whl", more='marker = "platform_machine =="\n'),
    "a bad version": lock_text("thing-1.0-py3-none-any.whl", version="one"),
    "a bad file name": lock_text("thing.whl"),
    "no sum": lock_text("thing-1.0-py3-none-any.whl").replace("sha256", "sha512"),
    "a sum that is none": lock_text("thing-1.0-py3-none-any.whl").replace(SUM, "../../../etc/passwd"),
    "a source archive": 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "thing"\nversion = "1.0"\n'
    f'sdist = {{ path = "thing-1.0.tar.gz", hashes = {{ sha256 = "{SUM}" }} }}\n',
    "a folder": 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "thing"\ndirectory = { path = "." }\n',
    "a repository": 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "thing"\n'
    '[packages.vcs]\ntype = "git"\nurl = "https://x.example/x"\ncommit-id = "c0ffee"\n',
    "another Python": lock_text("thing-1.0-py3-none-any.whl").replace("[[", 'requires-python = ">=4"\n[['),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_lock_is_one_clear_line_that_names_the_file(tmp_path: Path, text: str | bytes) -> None:
    place = locked(tmp_path, text)
    error = complaint(tmp_path)
    assert error.message.startswith(f"{place}: ")
    assert "\n" not in error.message
    assert error.hint


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | st.lists(st.sampled_from(re.findall(r"\S+|\s", lock_text("thing-1.0-py3-none-any.whl"))), max_size=40).map(
        lambda words: "".join(words).encode()
    )
)
@example(b"lock-version = 1\n")
def test_no_garbage_is_more_than_a_clear_line(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    root = tmp_path_factory.mktemp("lock")
    locked(root, garbage)
    image = IMAGES["musllinux_1_2_x86_64"]
    try:
        select(root, "thing", image, image.tool_host)
    except FactoryError as error:
        assert str(root) in error.message


# --- resolving ------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither pip nor uv knows of an index, a proxy or a bundle, whatever this machine has."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")) or name.lower().endswith("_proxy") or name in certificates.VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


INDEX = {
    "PIP_INDEX_URL": "https://reader:s3cret@mirror.example/simple",
    "PIP_EXTRA_INDEX_URL": "https://one.example/simple\nhttps://two.example/simple",
}


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({}, {}),
        (
            INDEX,
            {
                "UV_DEFAULT_INDEX": "https://reader:s3cret@mirror.example/simple",
                "UV_INDEX": "https://one.example/simple https://two.example/simple",
            },
        ),
        ({**INDEX, "UV_DEFAULT_INDEX": "https://mine.example/simple"}, {}),
        ({**INDEX, "UV_EXTRA_INDEX_URL": "https://mine.example/simple"}, {}),
        ({"PIP_TRUSTED_HOST": "a.example b.example:8443"}, {"UV_INSECURE_HOST": "a.example b.example:8443"}),
        ({"PIP_TRUSTED_HOST": "a.example", "UV_INSECURE_HOST": "mine.example"}, {}),
        ({"PIP_PROXY": "http://p:3128"}, {"HTTP_PROXY": "http://p:3128", "HTTPS_PROXY": "http://p:3128"}),
        ({"PIP_PROXY": "http://p:3128", "https_proxy": "http://mine:3128"}, {}),
    ],
)
def test_uv_is_told_of_the_index_that_pip_has_unless_it_has_its_own(
    monkeypatch: pytest.MonkeyPatch, given_: dict[str, str], expected: dict[str, str]
) -> None:
    for name, value in given_.items():
        monkeypatch.setenv(name, value)
    found = toollock.pips_index()
    found.pop("SSL_CERT_FILE", None)  # the system's
    assert found == expected


@pytest.mark.usefixtures("no_settings")
def test_uv_trusts_what_pip_and_the_drivers_own_downloads_trust(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "a"))
    assert toollock.pips_index()["SSL_CERT_FILE"] == str(tmp_path / "a")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "absent"))
    assert toollock.pips_index()["SSL_CERT_FILE"] == str(tmp_path / "a")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "b"))
    assert toollock.pips_index()["SSL_CERT_FILE"] == str(tmp_path / "b")
    monkeypatch.setenv("SSL_CERT_FILE", "/mine.pem")  # uv reads that itself
    assert "SSL_CERT_FILE" not in toollock.pips_index()


def wheel(project: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr(f"{project}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n")
        made.writestr(
            f"{project}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{project}-1.0.dist-info/RECORD", "")
    return content.getvalue()


@contextmanager
def private_index(known: str) -> Iterator[str]:
    """A simple index with the one project `thing`, which takes `user:password`: its host."""
    file = "thing-1.0-py3-none-any.whl"
    page = f'<!DOCTYPE html><html><body><a href="{file}#sha256={hashlib.sha256(wheel("thing")).hexdigest()}">{file}</a>'
    there = {"/simple/thing/": (page.encode(), "text/html"), f"/simple/thing/{file}": (wheel("thing"), "binary/octet")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = there.get(self.path, (b"", ""))
            status = 200 if body else 404
            if self.headers.get("Authorization") != basic(known):
                status, body = 401, b""
            answer(self, Reply(status=status, body=body, headers={"Content-Type": kind} if kind else {}))

        do_HEAD = do_GET  # noqa: N815 - http.server's own name

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as host:
        yield host


@pytest.mark.usefixtures("no_settings")
def test_tools_are_resolved_from_pips_own_index_and_its_password_is_in_no_argument(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[object] = []

    def watched(argv: Sequence[str | Path], **more: Any) -> Completed:
        seen.extend(argv)
        return run(argv, **more)

    monkeypatch.setattr(toollock, "run", watched)
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with private_index("reader:s3cret") as host:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://reader:s3cret@{host}/simple")
        text = toollock.resolve(tmp_path, "thing", ["thing"], "3.11")
    assert toollock.versions(text) == {"thing": "1.0"}
    assert 'path = "thing-1.0-py3-none-any.whl"' in text
    assert not [word for word in (*seen, text) if "s3cret" in str(word)]


@pytest.mark.usefixtures("no_settings")
def test_an_index_that_refuses_is_said_without_its_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with private_index("reader:other") as host:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://reader:s3cret@{host}/simple")
        with pytest.raises(FactoryError) as caught:
            toollock.resolve(tmp_path, "thing", ["thing"], "3.11")
    assert host in caught.value.message
    assert "s3cret" not in caught.value.message


# --- the matrix's part ----------------------------------------------------------------------------------------------


@pytest.fixture
def overlaid(tmp_path: Path) -> Callable[[str], list[Image]]:
    def images(text: str) -> list[Image]:
        place = tmp_path / "mine.yaml"
        place.write_text(f"extends: default\n{text}\n")
        matrix = load(SHIPPED, [place])
        return resolve(matrix, everything(matrix))

    return images


@pytest.mark.parametrize(
    ("without", "left"),
    [
        ("s390x", {"musllinux_1_2_i686", "musllinux_1_1_i686"}),
        ("musllinux_1_1", {"musllinux_1_2_i686", "musllinux_1_2_s390x"}),
        ("musllinux_1_2_i686", {"musllinux_1_1_i686", "musllinux_1_2_s390x", "musllinux_1_1_s390x"}),
    ],
)
def test_a_tool_is_left_out_by_architecture_by_policy_or_by_image(
    overlaid: Callable[[str], list[Image]], without: str, left: set[str]
) -> None:
    images = overlaid(f"tools: {{isolated: {{nox: {{commands: [nox], without: [{without}]}}}}}}")
    having = {image.id for image in images if "nox" in {tool.name for tool in image.tools}}
    assert {name for name in having if name.endswith(("i686", "s390x"))} == left


def test_a_pin_gives_its_policy_a_lock_of_its_own(overlaid: Callable[[str], list[Image]]) -> None:
    images = overlaid('tools: {isolated: {nox: {commands: [nox], pins: {musllinux_1_1: "nox<2025"}}}}')
    locks = {image.policy.name: tool.lock for image in images for tool in image.tools if tool.name == "nox"}
    assert locks == {"musllinux_1_2": "nox", "musllinux_1_1": "nox-1_1"}


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("pins: {musllinux_1_3: nox}", "tools.isolated.nox.pins.musllinux_1_3: no policy musllinux_1_3"),
        ("pins: {musllinux_1_1: 'nox; rm -rf /'}", "a requirement such as cmake<4.1"),
        ("without: [sparc]", "tools.isolated.nox.without[0]: no architecture, policy or image sparc"),
    ],
)
def test_a_wrong_pin_or_exception_is_a_mistake_with_its_line(
    overlaid: Callable[[str], list[Image]], entry: str, complaint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        overlaid(f"tools: {{isolated: {{nox: {{commands: [nox], {entry}}}}}}}")
    assert "mine.yaml:2: " in caught.value.message
    assert complaint in caught.value.message


def test_an_image_whose_interpreters_can_host_no_tool_says_which_could() -> None:
    with pytest.raises(FactoryError, match="no interpreter of the image can run its tools") as caught:
        resolve(shipped(), everything(shipped()), Selection(interpreters=("cp39-cp39",)))
    assert "cp314-cp314" in caught.value.hint
