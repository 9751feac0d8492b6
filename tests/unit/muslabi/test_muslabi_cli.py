"""The command: exit codes, JSON against its schema, folders, clear errors."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.unit.muslabi.elfmaker import Recipe, extension, make, wheel

import muslabi
from muslabi import cli, findings
from muslabi.database import read_data

PACKAGE = Path(muslabi.__file__).parent
EXT = "thing/x.so"


@pytest.fixture(autouse=True)
def _outside_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSLLINUX_STANDIN", raising=False)


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code = cli.main(["--json", *map(str, arguments)])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, read_data("report.schema.json"))
    return code, document


def test_exit_codes_tell_pass_refusal_and_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = wheel(tmp_path, {EXT: extension()})
    (tmp_path / "b").mkdir()
    bad = wheel(tmp_path / "b", {EXT: extension(required=["statx"])})
    assert cli.main([str(good)]) == cli.OK
    assert cli.main([str(good), str(bad)]) == cli.FOUND
    assert cli.main([str(good), str(tmp_path / "absent.so")]) == cli.UNUSABLE
    said = capsys.readouterr()
    assert "absent.so: cannot be opened: No such file" in said.err
    assert "Traceback" not in said.err


def test_bad_usage_is_one_line_with_what_would_be_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--floor", "9.9.9", "x"]) == cli.UNUSABLE
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == cli.UNUSABLE


def test_a_mix_is_an_error_only_on_request(tmp_path: Path) -> None:
    path = wheel(
        tmp_path,
        {EXT: extension(arch="i686", required=["stat", "__time64"])},
        "cp313-cp313-musllinux_1_2_i686",
    )
    assert cli.main([str(path)]) == cli.OK
    assert cli.main(["--strict-time64", str(path)]) == cli.FOUND
    assert cli.main(["--strict-time64", "--ignore", "time-mix=thing/*", str(path)]) == cli.OK


def test_the_text_says_verdict_reason_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([str(wheel(tmp_path, {EXT: extension(required=["statx"])}))])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "FAIL  thing-1.0-cp313-cp313-musllinux_1_2_x86_64.whl"
    assert "needs musl 1.2.5 or newer for statx" in lines[1]
    assert "Alpine 3.13 - 3.19" in lines[3]
    assert lines[4].strip().startswith("remedy: ")


def test_the_same_finding_in_many_files_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = {f"thing/{number}.so": extension(required=["statx"]) for number in range(30)}
    cli.main([str(wheel(tmp_path, members))])
    out = capsys.readouterr().out
    assert out.count("[symbol-too-new]") == 1
    assert "and 26 more" in out


def test_json_follows_its_schema_for_every_kind_of_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    wheel(folder, {EXT: extension(required=["statx", "__memcpy_chk"], relr=True)})
    wheel(folder, {EXT: extension()}, "cp313-cp313-manylinux_2_28_x86_64")
    wheel(folder, {EXT: extension(arch="i686", required=["stat", "__time64"])}, "py3-none-linux_i686")
    (folder / "x.so").write_bytes(extension(machine=258))
    (folder / "bad-1-py3-none-any.whl").write_bytes(b"nothing")
    code, document = as_json(capsys, folder)
    assert code == cli.UNUSABLE
    assert [report["kind"] for report in document["reports"]] == ["wheel", "wheel", "wheel", "folder"]
    assert [report["verdict"] for report in document["reports"]] == ["skip", "fail", "warn", "pass"]
    assert document["unreadable"][0]["source"].endswith("bad-1-py3-none-any.whl")


def test_the_schema_refuses_what_is_not_a_report() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"format": 1, "reports": [{}], "unreadable": []}, read_data("report.schema.json"))


def test_a_folder_is_one_installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "x.so").write_bytes(extension(required=["help"], needed=["liba.so.1"], rpath="$ORIGIN"))
    (tmp_path / "thing" / "liba.so.1.2").write_bytes(make(Recipe(defined=["help"])))
    (tmp_path / "thing" / "liba.so.1").symlink_to("liba.so.1.2")
    (tmp_path / "out.so").symlink_to("/etc/hostname")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "text.py").write_text("pass")
    code, document = as_json(capsys, "--policy", "musllinux_1_2", tmp_path)
    assert (code, len(document["reports"][0]["files"])) == (cli.OK, 2)


def test_a_single_file_is_read_without_its_neighbours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(extension(required=["statx", "frobnicate"], needed=["libfrob.so"]))
    code, document = as_json(capsys, path)
    report = document["reports"][0]
    assert (code, report["verdict"], report["needs_musl"]) == (cli.OK, "pass", "1.2.5")
    assert [finding["code"] for finding in report["findings"]] == ["library-outside"]
    assert cli.main(["--floor", "1.2.2", str(path)]) == cli.FOUND


def test_a_text_file_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.txt").write_text("hello")
    assert cli.main([str(tmp_path / "x.txt")]) == cli.UNUSABLE
    assert "neither a wheel nor an ELF file" in capsys.readouterr().err


def test_it_starts_in_a_process_of_its_own_and_in_less_than_a_second() -> None:
    before = os.times()
    command = [sys.executable, "-m", "muslabi", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = os.times()
    assert done.stdout == f"muslabi {muslabi.__version__}\n"
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    assert processor < 1  # seconds, whatever else runs here; 0.1 on an idle machine: docs/muslabi.md


def sources() -> list[Path]:
    return sorted(PACKAGE.glob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_it_has_no_syntax_newer_than_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def imported(tree: ast.AST) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
    return modules


def test_it_needs_nothing_but_itself_and_the_standard_library() -> None:
    used = set().union(*(imported(ast.parse(path.read_text(encoding="utf-8"))) for path in sources()))
    assert used <= {"muslabi", *sys.stdlib_module_names}
    newer_than_3_9: set[str] = {"tomllib"}
    assert not used & newer_than_3_9


def test_every_finding_that_code_makes_is_in_the_catalogue_and_back() -> None:
    features = {f"feature-{name}" for name in read_data("features.json")["features"]}
    text = "".join(path.read_text(encoding="utf-8") for path in sources())
    for code in findings.catalogue():
        assert code in features or f'"{code}"' in text, code


def test_the_documentation_lists_every_finding() -> None:
    page = (PACKAGE.parents[1] / "docs" / "muslabi.md").read_text(encoding="utf-8")
    for code, entry in findings.catalogue().items():
        severity = "warning (error with `--strict-time64`)" if entry.get("strict") else entry["severity"]
        assert f"| `{code}` | {severity} | {entry['title']} |" in page


def test_the_documented_settings_are_ones_cibuildwheel_understands() -> None:
    page = (PACKAGE.parents[1] / "docs" / "muslabi.md").read_text(encoding="utf-8")
    settings = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    schema = json.loads(files("cibuildwheel").joinpath("resources/cibuildwheel.schema.json").read_text("utf-8"))
    for one in settings:
        jsonschema.validate(one["tool"]["cibuildwheel"], schema)
    linux = settings[0]["tool"]["cibuildwheel"]["linux"]
    assert all("{wheel}" in command or "{abi3_wheel}" in command for command in linux["audit-command"])
    arguments = shlex.split(linux["audit-command"][1].format(wheel="x.whl"))
    assert arguments[0] == "muslabi"
    assert cli._parser().parse_args(arguments[1:]).strict_time64


def test_it_installs_alone_and_without_dependencies() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dependencies"] == []
    assert project["project"]["requires-python"] == ">=3.9"
    setuptools = project["tool"]["setuptools"]
    assert setuptools["packages"] == ["muslabi", "muslabi.data"], "else setuptools warns that data/ would be left out"
    globs = setuptools["package-data"]["muslabi"]
    packed = {path for glob in globs for path in PACKAGE.glob(glob)}
    assert {path for path in (PACKAGE / "data").iterdir() if path.is_file()} <= packed


def test_a_folder_that_cannot_be_listed_is_an_error_and_no_empty_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def refusing(folder: str | os.PathLike[str]) -> Any:  # root may list everything, so modes would not do
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "scandir", refusing)
    assert cli.main([str(tmp_path)]) == cli.UNUSABLE
    assert f"{tmp_path / 'locked'}: cannot be opened: Permission denied" in capsys.readouterr().err


def test_patterns_are_filled_in_where_the_shell_did_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = wheel(tmp_path, {EXT: extension()})
    assert cli.main([str(tmp_path / "*.whl")]) == cli.OK
    assert path.name in capsys.readouterr().out
    assert cli.main([str(tmp_path / "*.so")]) == cli.UNUSABLE
    assert "*.so: cannot be opened" in capsys.readouterr().err


def test_a_name_that_no_file_system_takes_is_an_unreadable_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["x" * 5000 + ".so"]) == cli.UNUSABLE
    assert "cannot be opened" in capsys.readouterr().err


def test_of_a_file_that_is_no_elf_file_only_the_first_bytes_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "huge.bin").open("wb") as stream:
        stream.truncate(1 << 40)
    assert cli.main([str(tmp_path / "huge.bin")]) == cli.UNUSABLE
    assert "neither a wheel nor an ELF file" in capsys.readouterr().err


def test_an_interrupt_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_audit_all", interrupted)
    assert cli.main(["x.so"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "muslabi: interrupted\n"


def test_a_console_without_the_characters_still_gets_the_report(tmp_path: Path) -> None:
    path = wheel(tmp_path, {"thing/\u00fc\u4e16.so": extension(required=["statx"])})
    command = [sys.executable, "-m", "muslabi", str(path)]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert (done.returncode, b"thing/\xfc\\u4e16.so" in done.stdout) == (cli.FOUND, True)
