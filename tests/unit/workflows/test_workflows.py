"""GitHub's workflows: what can be checked of them without GitHub."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import ROOT

from musllinux.cli import parser
from musllinux.run import run

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
NAMES = [path.stem for path in WORKFLOWS]


def actionlint() -> str:
    """The program, or empty: $ACTIONLINT, on PATH, or where `go install` puts it."""
    home = Path(os.environ.get("GOBIN") or Path(os.environ.get("GOPATH", Path.home() / "go")) / "bin")
    return os.environ.get("ACTIONLINT") or shutil.which("actionlint") or shutil.which("actionlint", path=home) or ""


def read(path: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 takes its key `on` for true."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    content["on"] = content.pop(True)  # type: ignore[call-overload]
    return content


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_there_are_workflows() -> None:
    assert NAMES == ["check", "images", "lock"]


@pytest.mark.skipif(
    not actionlint(), reason="no actionlint: go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
)
def test_actionlint_finds_nothing() -> None:
    """With shellcheck (a development dependency) on PATH it looks into the scripts, too."""
    path = os.pathsep.join([str(ROOT / ".venv/bin"), os.environ.get("PATH", "")])
    done = run([actionlint(), "-no-color", *WORKFLOWS], env={"PATH": path}, check=False)
    assert (done.code, done.output) == (0, "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_nothing_may_be_written_unless_a_job_says_so(path: Path) -> None:
    assert read(path)["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_two_runs_of_the_same_thing_do_not_meet(path: Path) -> None:
    assert read(path)["concurrency"]["group"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_what_is_run_of_this_project_exists(path: Path) -> None:
    """Verbs and options of musllinux are parsed, make's targets and scripts looked up."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    seen = 0
    for step in steps(read(path)):
        for words in _commands(step.get("run", "")):
            seen += 1
            if words[0] == "make":
                assert {word for word in words[1:] if "=" not in word} <= targets, words
            elif words[0] == ".venv/bin/musllinux":
                parser().parse_args(words[1:])
            elif words[0].startswith(("scripts/", ".ci/")):
                assert os.access(ROOT / words[0], os.X_OK), words
    assert seen


def _commands(script: str) -> Iterator[list[str]]:
    """The commands of this project in a script, without what the shell adds (redirections, pipes, substitutions)."""
    script = "\n".join(line for line in script.splitlines() if "apt-get install" not in line)
    for found in re.finditer(r"(?<![\w/.])(make|\.venv/bin/musllinux|scripts/\w+|\.ci/run)( [^|>)#&]*)?", script):
        yield shlex.split(found.group().replace('"$REGISTRY"', "quay.io/x").strip())


def test_images_are_built_from_upstream_on_the_matrixs_own_runners() -> None:
    images = read(FOLDER / "images.yml")
    assert images["env"]["SOURCES"] == "upstream"
    build = images["jobs"]["build"]
    assert build["strategy"]["matrix"] == "${{ fromJSON(needs.list.outputs.matrix) }}"
    assert build["runs-on"] == "${{ matrix.runner }}"
    assert build["strategy"]["fail-fast"] is False
    assert {"schedule", "push", "pull_request", "workflow_dispatch"} == set(images["on"])


def test_emulators_are_registered_as_root_and_everything_else_is_done_as_the_user() -> None:
    """GitHub's own machines run steps as a user who may not register emulators with the kernel."""
    scripts = [step.get("run", "") for step in read(FOLDER / "images.yml")["jobs"]["build"]["steps"]]
    (privileged,) = [script for script in scripts if "sudo" in script]
    assert shlex.split(privileged) == ["sudo", "--preserve-env=ARCH,CI", "scripts/setup", "emulators"]
    assert [script for script in scripts if "emulators" in script] == [privileged]
    assert scripts.index("scripts/setup python engine") < scripts.index(privileged) < scripts.index("make images")


@pytest.mark.parametrize("name", ["check", "images"])
def test_a_command_that_fails_before_a_pipe_fails_its_step(name: str) -> None:
    """Asked for by name, bash gets `-o pipefail` from GitHub; by default it does not, and in containers it is sh."""
    workflow = read(FOLDER / f"{name}.yml")
    assert workflow["defaults"] == {"run": {"shell": "bash"}}
    assert not [step for step in steps(workflow) if "shell" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_no_failure_is_lost_in_an_argument(path: Path) -> None:
    """`echo "x=$(false)"` succeeds; `x=$(false)` does not."""
    lines = [line.strip() for step in steps(read(path)) for line in step.get("run", "").splitlines()]
    assert not [line for line in lines if re.match(r"(echo|printf)\b.*\$\(", line)]


def test_the_weekly_lock_takes_the_newest_of_everything_and_proposes_all_that_it_has_written() -> None:
    scripts = [step["run"] for step in steps(read(FOLDER / "lock.yml")) if "run" in step]
    assert "make lock-deps UPGRADE=1" in scripts
    (added,) = re.findall(r"^files=\((.*)\)$", "\n".join(scripts), re.MULTILINE)
    written = {path.name for path in ROOT.glob("*.lock")} | {"lock.yaml", "lock", "images"}
    assert set(added.split()) == written


def test_what_githubs_own_token_pushes_is_checked_all_the_same() -> None:
    """GitHub starts no workflow for it, but one that is asked for by name."""
    (job,) = read(FOLDER / "lock.yml")["jobs"].values()
    checkout = next(step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout"))
    assert checkout["with"]["token"] == "${{ secrets.LOCK_TOKEN || github.token }}"
    last = job["steps"][-1]
    assert last["env"]["GH_TOKEN"] == "${{ github.token }}"
    (asked,) = re.findall(r"gh workflow run (\S+)", last["run"])
    assert "workflow_dispatch" in read(FOLDER / asked)["on"]
    assert job["permissions"]["actions"] == "write"


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", path.read_text(), re.MULTILINE))


def test_whatever_a_workflow_installs_is_pinned_with_hashes_and_leaves_the_environment_as_it_is() -> None:
    """An unpinned `pip install .[extra]` replaces the editable install, and whatever it likes."""
    for path in WORKFLOWS:
        for step in steps(read(path)):
            for line in re.findall(r".*pip install.*", step.get("run", "")):
                assert "--require-hashes -r requirements" in line, line
    own, extra = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements-sigstore.lock")
    assert "sigstore" in extra
    assert {name: own[name] for name in extra if name in own} == {name: extra[name] for name in extra if name in own}
    texts = [(ROOT / f"requirements{name}.lock").read_text() for name in ("", "-sigstore")]
    assert not [text for text in texts if "://" in text]


def test_only_publishing_sees_credentials_and_only_attesting_has_an_identity() -> None:
    jobs = read(FOLDER / "images.yml")["jobs"]
    with_secrets = {name for name, job in jobs.items() if "secrets." in yaml.safe_dump(job)}
    assert with_secrets == {"publish", "attest"}
    assert "refs/heads/main" in jobs["publish"]["if"]
    assert {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})} == {"attest"}
    assert jobs["publish"]["concurrency"] == {"group": "publish", "cancel-in-progress": False}
