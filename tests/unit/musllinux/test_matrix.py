"""matrix.load: a Matrix, or every mistake with its place; nothing else, whatever the files hold."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from musllinux import yamlfile
from musllinux.errors import EXIT_USAGE
from musllinux.matrix import MatrixError, load, warnings
from musllinux.schema import Matrix, Url

from .factory import SHIPPED, shipped

DATA = yaml.safe_load(SHIPPED.read_text())
FIXTURE_IS_FINE = [HealthCheck.function_scoped_fixture]


@pytest.fixture(params=["libyaml", "pure Python"])
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = yaml.SafeLoader if request.param == "pure Python" else yaml.CSafeLoader
    monkeypatch.setattr(yamlfile, "LOADER", loader)


def mistakes(path: Path, text: str | bytes) -> list[str]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MatrixError) as caught:
        load(path)
    assert caught.value.exit_code == EXIT_USAGE
    return [line.removeprefix(f"{path}") for line in caught.value.message.splitlines()]


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_shipped_matrix_is_right_and_complete() -> None:
    matrix = shipped()
    assert list(matrix.policies) == ["musllinux_1_2", "musllinux_1_1"]
    assert list(matrix.architectures) == ["x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x"]
    assert len(matrix.interpreters) == 9
    assert warnings(matrix) == []


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", "", "is empty"),
        ("# nothing but a comment\n", "", "is empty"),
        ("format: 1\n\timage: x\n", ":2", "a tab; allowed: spaces"),
        ("format: [1\nimage: {}\n", ":2", "not YAML"),
        ("format: 1\n---\nformat: 1\n", ":2", "found another document"),
        ("a: *nowhere\n", ":1", "undefined alias"),
        ("a: &x [*x]\n", ":1", "an alias inside its own anchor"),
        ("- format\n- image\n", "", "is not a mapping"),
        ("just text\n", "", "is not a mapping"),
        ("format: 1\nimage: {}\nformat: 1\n", ":3", "format: duplicate key, first on line 1"),
        ("format: 1\n3.10: x\n", ":2", 'key 3.10 is not text; allowed: "3.10", in quotes'),
        ("? [a, b]\n: c\n", ":1", "a list or mapping used as a key"),
        ("? \n: c\n", ":1", "an empty key"),
        ("<<: {format: 1}\n", ":1", "merge keys (<<) are not understood"),
        ("format: !!python/object:os.system x\n", ":1", "is not understood"),
        ("format: 0x_\n", ":1", "0x_ is not a usable int"),
        (f"format: {'9' * 5000}\n", ":1", "is not a usable int"),
        (f"a: {'[' * 100_000}", ":1", "nested deeper than 32 levels"),
        ("a: \x00\n", ":1", "not YAML: character U+0000"),
        (b"a: 1\nb: \xff\xfe\n", ":2", "is not UTF-8"),
        ("x" * ((1 << 20) + 1), "", "is too large; allowed: at most 1 MiB"),
    ],
)
def test_what_is_no_yaml_or_no_mapping_is_one_line(tmp_path: Path, text: str | bytes, line: str, expected: str) -> None:
    found = [m for m in mistakes(tmp_path / "m.yaml", text) if expected in m]
    assert len(found) == 1
    assert found[0].startswith(f"{line}: ")


@pytest.mark.usefixtures("either_parser")
def test_an_alias_bomb_stops_at_a_bound(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    found = mistakes(tmp_path / "bomb.yaml", "\n".join(lines))
    assert sum("more than 50000 values" in mistake for mistake in found) == 1


def test_an_alias_where_it_does_no_harm_is_understood(tmp_path: Path) -> None:
    text = changed(SHIPPED.read_text(), 'trials: ["3.13", "3.20"]', 'trials: &t ["3.13", "3.20"]')
    (tmp_path / "m.yaml").write_text(text)
    assert load(tmp_path / "m.yaml").policies["musllinux_1_2"].trials == ["3.13", "3.20"]


def test_a_missing_file_a_directory_and_one_without_permission_are_named(tmp_path: Path) -> None:
    for path, expected in (
        (tmp_path / "no.yaml", "no such file"),
        (tmp_path, "is a directory"),
        (Path("/proc/self/mem"), "cannot be read"),
        (tmp_path / "nul\0", "cannot be read"),
    ):
        with pytest.raises(MatrixError, match=expected):
            load(path)


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("registry: quay.io", "registry: 3.10", "image.registry", 'allowed: "3.10", in quotes'),
        ("registry: quay.io", "registry: [a]", "image.registry", "a list; allowed: text"),
        ("registry: quay.io", "registry: null", "image.registry", "nothing (null); allowed: text"),
        ("registry: quay.io", "registrar: quay.io", "image.registrar", "did you mean registry?"),
        ("registry: quay.io", "", "image.registry", "missing"),
        ("time_t_32: 64", 'time_t_32: "64"', "policies.musllinux_1_2.time_t_32", "allowed: 32 or 64"),
        ("time_t_32: 64", "time_t_32: yes", "policies.musllinux_1_2.time_t_32", "yes (a boolean)"),
        ('alpine: "3.22"', "alpine: 3.22", "policies.musllinux_1_2.alpine", '"3.22", in quotes'),
        ('alpine: "3.22"', 'alpine: "latest"', "policies.musllinux_1_2.alpine", "a series of two numbers"),
        ('trials: ["3.13", "3.20"]', "trials: []", "policies.musllinux_1_2.trials", "allowed: 1 or more"),
        ('trials: ["3.13", "3.20"]', "trials: 3.13", "policies.musllinux_1_2.trials", "allowed: a list"),
        ("uname: [x86_64]", "uname: []", "architectures.x86_64.uname", "allowed: 1 or more"),
        ("platform: linux/amd64", "platform: amd64", "architectures.x86_64.platform", "a Docker platform"),
        ("    - bison", "    - Bison", "packages.system[4]", "an apk package name"),
        ("cp39-cp39: {", "py39: {", "interpreters.py39", "<python tag>-<abi tag>"),
        ("free_threaded: true", "free_threaded: 1", "interpreters.cp314-cp314t.free_threaded", "true or false"),
        ("[nanoseconds of stat]", "[stat]", "architectures.s390x.qemu_lacks[0]", "nanoseconds of stat"),
        ("  recursion: 300", "  recursion: 0", "python.recursion", "allowed: 1 or more"),
        ("format: 1", "format: 2", "format", "2 (a number); allowed: 1"),
        ("  musllinux_1_2:", "  musl_1_2:", "policies.musl_1_2", "a PEP 656 policy"),
        ("alpine:{alpine}", "alpine{x}:{alpine}", "sources.upstream.base", "with {alpine} in it"),
        ("base: docker.io/", "base: docker.io:99999/", "sources.upstream.base", "with {alpine} in it"),
        ("registry: quay.io", "registry: quay.io:99999", "image.registry", "with a port where needed"),
        ("licence: MIT", 'licence: "MIT\\nRUN x"', "image.licence", "an SPDX expression"),
        ("alpine:{alpine}", "alpine:3.22", "sources.upstream.base", "with {alpine} in it"),
    ],
)
def test_a_wrong_value_is_reported_with_its_key_line_and_what_would_be_allowed(
    tmp_path: Path, old: str, new: str, key: str, expected: str
) -> None:
    original = SHIPPED.read_text()
    found = [m for m in mistakes(tmp_path / "m.yaml", changed(original, old, new)) if f" {key}: " in m]
    assert len(found) == 1
    assert expected in found[0]
    if expected != "missing":
        assert found[0].startswith(f":{line_of(original, old)}: ")


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("host: [cp314-cp314", "host: [cp31-cp31", "tools.host[0]", "no interpreter cp31-cp31"),
        ("without: [mpdecimal,", "without: [mpdecimals,", "policies.musllinux_1_1.without[0]", "mean mpdecimal?"),
        ("without: [ppc64le,", "without: [ppc64,", "tools.isolated.uv.without[0]", "or image ppc64"),
        (
            "maturin: {without: [s390x]}",
            "maturin: {without: [s390]}",
            "rust.backends.maturin.without[0]",
            "mean s390x?",
        ),
        ("platform: linux/386", "platform: linux/amd64", "architectures.i686.platform", "x86_64's already"),
        ("apk: armv7", "apk: aarch64", "architectures.armv7l.apk", "aarch64's already"),
        ('cp310-cp310: {series: "3.10"}', 'cp310-cp310: {series: "3.11"}', "interpreters.cp310-cp310.series", '"3.10"'),
        ("cp315-cp315t: {", "cp315-cp315: {", "interpreters.cp315-cp315", "duplicate key"),
        (
            ", free_threaded: true}\n  cp315-cp315:",
            "}\n  cp315-cp315:",
            "interpreters.cp314-cp314t.free_threaded",
            "disagrees",
        ),
        ('  cp39-cp39: {series: "3.9"}\n', "", "interpreters", "cp39-cp39 is missing"),
        ('trials: ["3.13", "3.20"]', 'trials: ["3.20"]', "policies.musllinux_1_2.trials[0]", "allowed: 3.13 or 3.14"),
        ('trials: ["3.13", "3.20"]', 'trials: ["3.13", "3.99"]', "policies.musllinux_1_2.trials[1]", "no release 3.99"),
        (
            'trials: ["3.13", "3.20"]',
            'trials: ["3.13", "3.12"]',
            "policies.musllinux_1_2.trials[1]",
            "older than the floor",
        ),
        ('alpine: "3.22" ', 'alpine: "3.12" ', "policies.musllinux_1_2.alpine", "older than the floor"),
        ("    - bison", "    - bash", "packages.system[4]", "bash stands here 2 times"),
        (
            "  armv7l:",
            "  armv8l:",
            "architectures.armv8l",
            "muslabi knows no musl of it, and so no floor; allowed: one of",
        ),
        ('floor: "1.2.2" ', 'floor: "1.2.77"', "policies.musllinux_1_2.floor", "muslabi knows no musl 1.2.77"),
        (
            'floor: "1.1.24"',
            'floor: "1.1.10"',
            "policies.musllinux_1_1.floor",
            "older than musl's first for ppc64le; allowed: 1.1.15 or newer",
        ),
    ],
)
def test_values_that_do_not_fit_each_other_are_reported(
    tmp_path: Path, old: str, new: str, key: str, expected: str
) -> None:
    found = mistakes(tmp_path / "m.yaml", changed(SHIPPED.read_text(), old, new))
    assert [m for m in found if f" {key}: " in m and expected in m], found


def test_an_architecture_without_a_floor_is_a_mistake_of_the_overlay_that_adds_it(tmp_path: Path) -> None:
    """It was a traceback in the middle of all builds, and their summary was lost."""
    entry = DATA["architectures"]["x86_64"]
    own = {"apk": "loongarch64", "platform": "linux/loong64", "triple": "loongarch64-alpine-linux-musl"}
    mine = {"extends": "default", "architectures": {"loongarch64": {**entry, **own}}}
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(yaml.safe_dump(mine, sort_keys=False))
    with pytest.raises(MatrixError) as caught:
        load(SHIPPED, [overlay])
    said = caught.value.message
    assert said.startswith(
        f"{overlay}:3: architectures.loongarch64: muslabi knows no musl of it, and so no floor; allow"
    )
    assert "riscv64" in said
    assert len(said.splitlines()) == 1


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = changed(SHIPPED.read_text(), "registry: quay.io", "registry: 1")
    text = changed(text, "bits: 64", "bits: 65")
    text = changed(text, "  native: [", "  natives: [")
    found = mistakes(tmp_path / "m.yaml", text)
    lines = [int(mistake.split(":")[1]) for mistake in found]
    assert len(found) == 4  # natives is unknown, native is missing
    assert lines == sorted(lines)


def test_a_value_that_cannot_be_read_is_not_reported_missing_too(tmp_path: Path) -> None:
    found = mistakes(tmp_path / "m.yaml", changed(SHIPPED.read_text(), "registry: quay.io", "registry: 0x_"))
    assert len(found) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@mirror.test/alpine/",
        "https://u:s3cr/et@h.test/x",
        "http://u:s3cret@:80/x",
        "https://u:s3cr@et s3cret@m.test",
        "ftp://a:s3cret@h",
    ],
)
def test_a_password_in_a_wrong_url_is_not_repeated(tmp_path: Path, url: str) -> None:
    text = changed(SHIPPED.read_text(), "mirror: https://dl-cdn.alpinelinux.org/alpine", f"mirror: '{url}'")
    (found,) = mistakes(tmp_path / "m.yaml", text)
    assert "sources.upstream.mirror" in found
    assert "s3cr" not in found


@given(url=st.from_regex(r"https?://[!-~]{1,30}", fullmatch=True))
def test_a_url_that_is_accepted_has_a_host_and_a_port_that_can_be(url: str) -> None:
    try:
        TypeAdapter(Url).validate_python(url)
    except ValidationError:
        return
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port is None or 0 < parts.port < 65536


def outcome(path: Path) -> Matrix | MatrixError:
    try:
        return load(path)
    except MatrixError as error:
        assert error.mistakes
        for mistake in error.mistakes:
            assert mistake.place.file
            assert str(mistake).isprintable()
        return error


@given(data=st.binary(max_size=200))
@settings(max_examples=80, suppress_health_check=FIXTURE_IS_FINE, deadline=None)
def test_any_bytes_give_mistakes_with_a_place(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.yaml").write_bytes(data)
    assert isinstance(outcome(tmp_path / "m.yaml"), MatrixError)


YAMLISH = st.text(alphabet="ab:-[]{}&*!|>'\"%@`?#,.~<=0123 \n\t\\ux\u00e9\U0001f600", max_size=120)


@given(text=YAMLISH)
@settings(max_examples=60, suppress_health_check=FIXTURE_IS_FINE, deadline=None)
@pytest.mark.usefixtures("either_parser")
def test_any_text_of_yamls_own_characters_gives_mistakes_with_a_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    assert isinstance(outcome(tmp_path / "m.yaml"), MatrixError)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=6
)


@given(value=VALUES)
@settings(max_examples=80, suppress_health_check=FIXTURE_IS_FINE, deadline=None)
def test_any_structure_gives_mistakes_with_a_place(tmp_path: Path, value: object) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(value), encoding="utf-8")
    assert isinstance(outcome(tmp_path / "m.yaml"), MatrixError)


def paths(value: Any, prefix: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*prefix, key)
        yield from paths(inner, (*prefix, key))


@given(path=st.sampled_from(list(paths(DATA))), value=VALUES, rename=st.booleans())
@settings(max_examples=60, suppress_health_check=FIXTURE_IS_FINE, deadline=None)
def test_any_change_of_the_shipped_matrix_gives_a_matrix_or_mistakes(
    tmp_path: Path, path: tuple[str | int, ...], value: Any, rename: bool
) -> None:
    data = copy.deepcopy(DATA)
    parent = data
    for step in path[:-1]:
        parent = parent[step]
    if rename and isinstance(parent, dict):
        parent["renamed"] = parent.pop(path[-1])
    else:
        parent[path[-1]] = value
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    outcome(tmp_path / "m.yaml")
