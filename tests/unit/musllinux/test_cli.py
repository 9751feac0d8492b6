"""The command line: one line for a user's mistake, a stable exit code, a traceback for a bug only."""

import errno
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import musllinux
from musllinux import cli, errors, listing
from musllinux import settings as run_settings
from musllinux.__main__ import main as start
from musllinux.errors import FactoryError, UsageError
from musllinux.redact import redact, redact_value
from musllinux.settings import Source, find_root, from_args
from standin.errors import StandinError

from .factory import ROOT

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `musllinux list` with a verb that raises; gives the exit code and what was said."""

    def run(error: BaseException) -> tuple[int, str]:
        def command(_: Namespace) -> int:
            raise error

        monkeypatch.setattr(listing, "command", command)
        return cli.main(["list"]), capsys.readouterr().err

    return run


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    return cli.main(list(arguments)), capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "the following arguments are required: VERB"),
        (["lits"], "did you mean list?"),
        (["list", "--arhc", "x"], "did you mean --arch?"),
        (["list", "--registry", "x"], "--registry is an option of push; "),
        (["list", "--format", "xml"], "invalid choice: 'xml'"),
        (["list", "--arch", ","], "argument --arch: no name given"),
        (["build", "--jobs", "0"], "invalid number of jobs value: '0'"),
        (["build", "--sources", "mirror"], "invalid choice: 'mirror'"),
        (["build", "--prepare", "--smoke"], "not allowed with argument"),
        (["build", "--prepare", "--json"], "`musllinux list --format bake` is JSON of what is laid out"),
        (["render", "--json"], "--json is an option of list, lock, build"),
        (["lock", "--json"], "`musllinux lock --check --json` says what is newer"),
        (["standin", "down", "--json"], "`musllinux standin status --json`"),
        (["list", "--format=table", "--json"], "--format=json"),
        (["standin"], "the following arguments are required"),
        (["list", "--arch", "sparc"], "no architecture 'sparc' in the matrix"),
        (["list", "musllinux_1_3_x86_64"], "no image 'musllinux_1_3_x86_64' in the matrix"),
        (["list", "--matrix", "no-such.yaml"], "no-such.yaml: no such file"),
    ],
)
def test_bad_usage_is_one_line_a_hint_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    code, err = said(capsys, *arguments)
    assert code == 2
    assert err.startswith("musllinux: ")
    assert expected in err
    assert "Traceback" not in err


def test_every_mistake_of_a_matrix_is_a_line_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.yaml").write_text("extends: default\nimage: {registry: 1, organisation: 2, x: 3}\n")
    code, err = said(capsys, "list", "--matrix", str(tmp_path / "m.yaml"))
    assert code == 2
    assert len(err.splitlines()) == 3
    assert all(line.startswith(f"musllinux: {tmp_path}/m.yaml:2: ") for line in err.splitlines())


def test_a_failure_shows_its_hint_and_its_log(failing: Run) -> None:
    code, err = failing(FactoryError("it broke\n    its last line", hint="mend it", log="build/x.log"))
    assert code == 1
    assert err == "musllinux: it broke\n    its last line\n  hint: mend it\n  log: build/x.log\n"


def test_a_usage_error_of_a_verb_is_exit_2(failing: Run) -> None:
    assert failing(UsageError("wrong")) == (2, "musllinux: wrong\n")


def test_the_standins_errors_are_shown_like_our_own(failing: Run) -> None:
    assert failing(StandinError("no mirror", hint="wait")) == (1, "musllinux: no mirror\n  hint: wait\n")


def test_the_usual_source_is_the_environment_s_and_an_option_wins() -> None:
    environ = {"MUSLLINUX_SOURCES": "standin"}
    assert from_args(Namespace(), environ).source is Source.STANDIN
    assert from_args(Namespace(sources="upstream"), environ).source is Source.UPSTREAM
    assert from_args(Namespace(), {}).source is Source.AUTO
    with pytest.raises(UsageError, match="MUSLLINUX_SOURCES=mirror: no such source"):
        from_args(Namespace(), {"MUSLLINUX_SOURCES": "mirror"})


def test_an_interrupt_while_modules_are_loaded_is_the_same_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "musllinux.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "musllinux.cli")
    monkeypatch.delattr(musllinux, "cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert (start(), capsys.readouterr().err) == (errors.EXIT_INTERRUPTED, "musllinux: interrupted\n")


def test_an_interrupt_is_one_line_and_exit_130(failing: Run) -> None:
    assert failing(KeyboardInterrupt()) == (130, "musllinux: interrupted\n")


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "make room"), (errno.EACCES, "let this user"), (errno.EROFS, "let this user")]
)
def test_what_the_machine_refuses_is_one_line_and_its_remedy(failing: Run, number: int, remedy: str) -> None:
    code, err = failing(OSError(number, os.strerror(number), "/build/x"))
    line, hint = err.splitlines()
    assert (code, line) == (1, f"musllinux: /build/x: {os.strerror(number)}")
    assert hint.startswith(f"  hint: {remedy}")
    assert "MUSLLINUX_CACHE" in hint


@pytest.mark.parametrize("bug", [ValueError("x"), KeyError("x"), OSError(errno.EBADF, "x")])
def test_a_bug_keeps_its_traceback(failing: Run, bug: Exception) -> None:
    with pytest.raises(type(bug)):
        failing(bug)


def test_a_password_in_any_message_is_hidden(failing: Run) -> None:
    error = FactoryError("cannot reach https://u:s3cret@h.test/x", hint="try http://v:s3cret@h", log="http://s3cret@h")
    assert "s3cret" not in failing(error)[1]


def test_a_verb_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    verb = cli.Verb(name="later", module="musllinux.no_such_module", help="x")
    monkeypatch.setattr(cli, "VERBS", (*cli.VERBS, verb))
    assert said(capsys, "later") == (2, "musllinux: `musllinux later` is not part of this version yet\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m musllinux list --json | head -n 1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_output_that_a_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("extends: default\nimage: {ö: 1}\n", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "musllinux", "list", "--matrix", tmp_path / "m.yaml"],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert ended.returncode == 2
    assert b"image.\\xf6: unknown key" in ended.stderr


@pytest.mark.parametrize("verb", [verb.name for verb in cli.VERBS])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, "--help"])
    assert caught.value.code == 0
    assert f"usage: musllinux {verb}" in capsys.readouterr().out


def test_help_and_version_import_nothing_heavy() -> None:
    """They answer at once: the engine's, the stand-in's and pydantic's code is imported by the verbs."""
    program = (
        "import sys; from musllinux import cli; cli.parser().format_help(); "
        "print(*({'pydantic', 'yaml', 'docker', 'rich', 'jinja2', 'standin', 'musllinux.model'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


def test_list_imports_neither_engine_nor_templates_nor_standin() -> None:
    program = (
        "import sys; from musllinux import cli; cli.main(['list']); "
        "print('heavy:', *({'docker', 'rich', 'jinja2', 'standin', 'requests'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout.splitlines()[-1].split() == ["heavy:"]


# Settings


def arguments(*words: str) -> Namespace:
    return cli.parser().parse_args(words)


def test_settings_come_from_arguments_and_environment(tmp_path: Path) -> None:
    args = arguments("build", "musllinux_1_2_x86_64", "--arch", "x86_64,i686", "--arch=s390x", "--sources=standin")
    settings = from_args(args, {"MUSLLINUX_CACHE": str(tmp_path), "NO_COLOR": "1", "CI": "true"})
    assert settings.ids == ("musllinux_1_2_x86_64",)
    assert settings.arches == ("x86_64", "i686", "s390x")
    assert settings.source is Source.STANDIN
    assert settings.cache == tmp_path
    assert (settings.color, settings.ci) == (False, True)
    assert settings.work == settings.root / "build"


def test_overlays_are_absolute_and_keep_their_order() -> None:
    settings = from_args(arguments("list", "--matrix", "a.yaml", "--matrix", "/b.yaml"), {})
    assert settings.overlays == (Path.cwd() / "a.yaml", Path("/b.yaml"))


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_ci_may_be_said_not_to_be(value: str) -> None:
    assert not from_args(arguments("list"), {"CI": value}).ci


def test_the_repository_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_root({}) == ROOT


def test_a_clone_around_the_current_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "templates/stages").mkdir(parents=True)
    (tmp_path / "matrix.yaml").touch()
    monkeypatch.chdir(tmp_path / "templates/stages")
    assert find_root({}) == tmp_path


def test_a_wrong_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no matrix\.yaml and templates/ there"):
        find_root({"MUSLLINUX_ROOT": str(tmp_path)})


def test_no_repository_at_all_is_bad_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_settings, "__file__", str(tmp_path / "settings.py"))
    with pytest.raises(UsageError) as caught:
        find_root({})
    assert "MUSLLINUX_ROOT" in caught.value.hint


# Redaction

WORDS = st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1)


@given(user=WORDS, password=WORDS, before=st.text(), after=st.text())
def test_no_userinfo_of_a_url_survives(user: str, password: str, before: str, after: str) -> None:
    secret = f"<{password}>"
    text = f"{before} https://{user}:{secret}@host/path {after}"
    assert redact(text).count(secret) <= redact(f"{before} {after}").count(secret)
    assert secret not in redact_value(f"https://{user}:{secret} {secret}@host")


@given(st.text().filter(lambda text: "@" not in text))
def test_text_without_userinfo_is_left_alone(text: str) -> None:
    assert redact(text) == text
