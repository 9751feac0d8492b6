"""Wheels as untrusted archives: bombs, tricks and damage are refused in one clear line."""

import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.muslabi.elfmaker import digest, extension, wheel

from muslabi import Terms, audit_wheel
from muslabi.archive import Limits, Wheel, WheelError, unsafe
from muslabi.elf import ElfError, read
from muslabi.scope import ScopeError
from muslabi.tags import TagError, parse

EXT = "thing/x.so"
TERMS = Terms(standin=False)


def codes(path: Path) -> list[str]:
    return [one.code for one in audit_wheel(path, TERMS).findings if one.code not in ("retag", "no-elf")]


def zipped(folder: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "thing-1.0-cp313-cp313-musllinux_1_2_x86_64.whl"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("a/b.so", False),
        ("a..b/c.so", False),
        ("../x.so", True),
        ("a/../../x.so", True),
        ("/etc/passwd", True),
        ("..\\x.so", True),
        ("C:\\x.so", True),
    ],
)
def test_which_member_names_lead_out(name: str, bad: bool) -> None:
    assert unsafe(name) is bad


def test_a_member_that_leads_out_refuses_the_wheel_and_nothing_is_written(tmp_path: Path) -> None:
    path = zipped(tmp_path, [("../../evil.so", extension())])
    assert "unsafe-path" in codes(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name]


def test_a_zip_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = zipped(tmp_path, [("x.so", b"\x7fELF" + bytes(64 << 20))])
    with pytest.raises(WheelError, match="bomb"):
        audit_wheel(path, TERMS)


def test_a_member_that_claims_to_be_longer_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, [("x.so", extension()), ("y.so", extension())])
    with pytest.raises(WheelError, match="to inflate"):
        audit_wheel(path, TERMS, Limits(total_bytes=500))


def test_a_member_that_lies_about_its_length_is_damaged(tmp_path: Path) -> None:
    path = wheel(tmp_path, {EXT: extension()})
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02") + 24  # uncompressed size in the first directory entry
    struct.pack_into("<I", data, place, 100)
    path.write_bytes(data)
    with pytest.raises(WheelError, match="damaged"):
        audit_wheel(path, TERMS)


def test_overlapping_members_are_a_bomb(tmp_path: Path) -> None:
    path = zipped(tmp_path, [("a.so", extension()), ("b.so", extension())])
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    path.write_bytes(data)
    with pytest.raises(WheelError, match=r"overlap"):
        audit_wheel(path, TERMS)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_installers_refuse_are_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(WheelError, match="method"):
        audit_wheel(zipped(tmp_path, [("x.so", extension())], method), TERMS)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, [("x.so", extension())])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(WheelError, match="encrypted"):
        audit_wheel(path, TERMS)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(file_bytes=100), "bytes, more than 100"),
        (Limits(directory_bytes=10), "directory of"),
        (Limits(members=1), "members, more than 1"),
        (Limits(text_bytes=5), "more than 5"),
    ],
)
def test_each_limit_holds(tmp_path: Path, limits: Limits, words: str) -> None:
    with pytest.raises(WheelError, match=words):
        audit_wheel(wheel(tmp_path, {EXT: extension()}), TERMS, limits)


@pytest.mark.parametrize("contents", [b"", b"PK", b"not a zip file" * 100, b"PK\x05\x06" + bytes(18)])
def test_what_is_no_wheel_is_refused_in_words(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "thing-1.0-cp313-cp313-musllinux_1_2_x86_64.whl"
    path.write_bytes(contents)
    if contents.startswith(b"PK\x05\x06"):  # an empty, but valid archive
        assert "bad-metadata" in codes(path)
        return
    with pytest.raises(WheelError):
        audit_wheel(path, TERMS)


def test_a_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="No such file"):
        audit_wheel(tmp_path / "thing-1.0-cp313-cp313-musllinux_1_2_x86_64.whl", TERMS)


@pytest.mark.parametrize("name", ["x.whl", "a-1-py3-none.whl", "a-1-b-c-d-e-f.whl", "a b-1-py3-none-any.whl"])
def test_a_name_that_is_no_wheels_is_refused(name: str) -> None:
    with pytest.raises(TagError):
        parse(name)


def test_compressed_tags_are_taken_apart() -> None:
    name = parse("a-1-2-py2.py3-none-manylinux_2_17_i686.musllinux_1_2_i686.musllinux_1_1_i686.whl")
    assert (name.version, name.policies, name.arches) == ("1", ("musllinux_1_1", "musllinux_1_2"), ("i686",))
    assert len(name.triples()) == 6
    assert parse("a-1-cp39.cp310-abi3-linux_x86_64.whl").oldest_python == (3, 9)


def test_a_correct_wheel_has_no_findings(tmp_path: Path) -> None:
    assert codes(wheel(tmp_path, {EXT: extension()})) == []


@pytest.mark.parametrize(
    ("replace", "code"),
    [
        ({"WHEEL": None}, "bad-metadata"),
        ({"WHEEL": b"Wheel-Version: 1.0\nTag: cp312-cp312-musllinux_1_2_x86_64\n"}, "bad-metadata"),
        ({"WHEEL": b"\xff\xfe\x00"}, "bad-metadata"),
        ({"METADATA": None}, "bad-metadata"),
        ({"METADATA": b"Name: other\nVersion: 1.0\n"}, "bad-metadata"),
        ({"METADATA": b"Name: thing\n\nVersion: 1.0\n"}, "bad-metadata"),
        ({"RECORD": None}, "bad-record"),
        ({"RECORD": b""}, "bad-record"),
        ({"RECORD": b'"unfinished'}, "bad-record"),
        ({"RECORD": b"thing/x.so,md5=abc,1\n"}, "bad-record"),
        ({"RECORD": f"thing/x.so,sha256={digest(b'else')},1\n".encode()}, "bad-record"),
    ],
)
def test_dist_info_must_agree_with_the_wheel(tmp_path: Path, replace: dict[str, bytes | None], code: str) -> None:
    assert code in codes(wheel(tmp_path, {EXT: extension()}, replace=replace))


def test_names_are_compared_as_installers_do(tmp_path: Path) -> None:
    metadata = b"Name: THING\r\nVersion: 1.0\r\n\r\n"
    assert codes(wheel(tmp_path, {EXT: extension()}, replace={"METADATA": metadata})) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=6)), max_size=4), st.integers(0, 4000))
def test_a_mutated_wheel_is_refused_or_read_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, bytes]], keep: int
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    path = wheel(folder, {EXT: extension(required=["statx"])})
    data = bytearray(path.read_bytes())
    for anywhere, patch in cuts:
        place = anywhere % len(data)
        data[place : place + len(patch)] = patch
    path.write_bytes(data[: len(data) - keep % 40])
    try:
        audit_wheel(path, TERMS)
    except WheelError as error:
        assert str(error)


def test_a_wheel_of_thousands_of_elf_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muslabi.bundle.MAX_MEMBERS", 3)
    with pytest.raises(WheelError, match="more than 3 ELF files"):
        audit_wheel(wheel(tmp_path, {f"a/{number}.so": extension() for number in range(4)}), TERMS)


def test_the_file_is_closed_after_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    path.write_bytes(b"nothing")
    with pytest.raises(WheelError), Wheel(path):
        pass  # an open file would be a ResourceWarning, which the test run takes for an error


def test_files_that_all_need_each_other_are_refused_in_seconds(tmp_path: Path) -> None:
    count = 600
    names = [f"lib{number}.so" for number in range(count)]
    data = extension(needed=names[:400], rpath=":".join(f"$ORIGIN/{number}" for number in range(100)))
    with pytest.raises(ScopeError, match="600 ELF files"):
        audit_wheel(wheel(tmp_path, {f"a/{name}": data for name in names}), TERMS)


@pytest.mark.parametrize("damage", [b"", bytes(4096)])
def test_files_whose_symbols_would_take_minutes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    monkeypatch.setattr("muslabi.bundle.MAX_WORK", 1000)
    data = extension(required=[f"name{number}" for number in range(400)])
    few, many = ({f"a/{number}.so": data for number in range(count)} for count in (2, 3))
    assert audit_wheel(wheel(tmp_path, few), TERMS).files
    if damage:  # after the symbols: nothing can be told of what reading them has cost
        many = {name: contents.replace(b"PyInit_x\0", b"PyInit_x\1") for name, contents in many.items()}
    with pytest.raises(WheelError, match="symbols"):
        audit_wheel(wheel(tmp_path, many), TERMS)


def test_symbol_versions_without_names_are_counted_too() -> None:
    with pytest.raises(ElfError, match="symbol versions"):
        read(extension(versions={f"l{number}": "" for number in range(4200)}))


def test_a_name_of_thousands_of_characters_is_shortened_for_people_alone(tmp_path: Path) -> None:
    report = audit_wheel(wheel(tmp_path, {EXT: extension(required=["x" * 50_000])}), TERMS)
    assert max(map(len, report.to_text().splitlines())) < 2100
    assert "x" * 50_000 in report.to_json()


def test_a_dist_info_of_millions_of_lines_is_read_as_far_as_needed(tmp_path: Path) -> None:
    replace: dict[str, bytes | None] = {
        "WHEEL": b"Tag: a\n" * 300_000,
        "METADATA": b"Name: b\n" * 300_000,
        "RECORD": b"a,\n" * 300_000,
    }
    report = audit_wheel(wheel(tmp_path, {EXT: extension()}, replace=replace), TERMS)
    assert {one.code for one in report.findings} == {"bad-metadata", "bad-record", "retag"}
    assert all(len(one.message) < 1000 for one in report.findings)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"needed": [f"lib{number}.so" for number in range(1001)]}, "needed libraries"),
        ({"rpath": ":".join(f"/{number}" for number in range(201))}, "RPATH"),
    ],
)
def test_what_no_honest_file_has_is_refused(properties: dict[str, Any], words: str) -> None:
    with pytest.raises(ElfError, match=words):
        read(extension(**properties))


PART = st.text(st.characters(exclude_characters="-/", exclude_categories=["Cs", "Z"]), min_size=1, max_size=8)


@given(st.text(max_size=60) | st.lists(PART, min_size=4, max_size=7).map(lambda parts: "-".join(parts) + ".whl"))
def test_any_file_name_is_a_wheels_or_refused(name: str) -> None:
    try:
        parsed = parse(name)
    except TagError as error:
        assert str(error)
    else:
        assert all(triple.count("-") == 2 for triple in parsed.triples())
        assert len(parsed.policies) <= len(parsed.platforms)


LINE = st.text(max_size=20) | st.sampled_from(
    ["Tag: ", "Name: thing", "Version: 1.0", f"{EXT},sha256=", ",,", '"', "\0"]
)
TEXT = st.lists(LINE, max_size=6).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))


@given(st.fixed_dictionaries({"WHEEL": TEXT, "METADATA": TEXT, "RECORD": TEXT | st.binary(max_size=60)}))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_dist_info_says_is_a_finding_at_most(tmp_path: Path, info: dict[str, bytes | None]) -> None:
    report = audit_wheel(wheel(tmp_path, {EXT: extension()}, replace=info), TERMS)
    assert {one.code for one in report.findings} <= {"bad-metadata", "bad-record", "retag"}
    assert report.to_text()
