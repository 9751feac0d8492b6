"""render: Dockerfiles out of the shipped templates and matrix, and what is said of wrong templates."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from musllinux import cli, lockfile, supply
from musllinux.errors import FactoryError
from musllinux.matrix import load
from musllinux.model import Image, resolve
from musllinux.render import dockerfile

from .factory import ROOT, SHIPPED, everything, shipped

TEMPLATES = ROOT / "templates"
MATRIX = shipped()
IMAGES = resolve(MATRIX, supply.upstream(MATRIX, lockfile.load(ROOT / "lock.yaml")))
TEXTS = {image.id: dockerfile(image, TEMPLATES) for image in IMAGES}
NAMED = [pytest.param(image, id=image.id) for image in IMAGES]
INSTRUCTIONS = {"FROM", "ARG", "COPY", "RUN", "ENV", "LABEL", "ENTRYPOINT", "CMD"}


def instructions(text: str) -> list[str]:
    """Each instruction as one line, without comments."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def packages(text: str, script: str) -> list[str]:
    """What a Dockerfile gives to one of the apk scripts."""
    (found,) = [line for line in instructions(text) if line.startswith("RUN ") and script in line]
    words = found.partition(script)[2].partition("&&")[0].split()
    return [word for word in words if not word.startswith("/")]


# --- what is rendered -----------------------------------------------------------------------------------------------


def test_the_committed_dockerfiles_are_what_matrix_lock_and_templates_say() -> None:
    committed = {path.parent.name: path.read_text() for path in (ROOT / "images").glob("*/Dockerfile")}
    assert set(committed) == set(TEXTS)
    assert len(committed) == 12
    for name, text in TEXTS.items():
        assert committed[name] == text, f"images/{name}/Dockerfile: run `musllinux render`"


@pytest.mark.parametrize("image", NAMED)
def test_a_dockerfile_is_generated_and_says_so_in_its_first_line(image: Image) -> None:
    first, second, *_ = TEXTS[image.id].splitlines()
    assert "Generated" in first
    assert "Do not edit" in first
    assert image.id in second
    assert TEXTS[image.id].endswith("]\n")


@pytest.mark.parametrize("image", NAMED)
def test_a_dockerfile_keeps_to_what_buildkit_0_8_without_network_understands(image: Image) -> None:
    text = TEXTS[image.id]
    assert not re.search(r"^#\s*(syntax|escape|check)\s*=", text, re.M), "a frontend would be pulled"
    assert "<<" not in text, "heredocs came with BuildKit 0.10"
    assert "--link" not in text
    assert "--chmod" not in text
    assert "type=cache" not in text, "what a cache holds is not in the inputs"
    assert not re.search(r"^ADD ", text, re.M), "ADD downloads, unchecked"
    assert {line.split()[0] for line in instructions(text)} == INSTRUCTIONS


@pytest.mark.parametrize("image", NAMED)
def test_no_mirror_and_no_secret_is_written_into_a_dockerfile(image: Image) -> None:
    urls = set(re.findall(r"\w+://[^\s\"']*", TEXTS[image.id]))
    assert urls == {image.source}
    assert image.supply.mirror.partition("://")[2] not in TEXTS[image.id]
    args = [line.split()[1] for line in instructions(TEXTS[image.id]) if line.startswith("ARG ")]
    assert set(args) == set(image.contents)


@pytest.mark.parametrize("image", NAMED)
def test_packages_stand_sorted_each_once(image: Image) -> None:
    for script, expected in (
        ("apk-native.sh", image.native_packages),
        (f"apk-foreign.sh /sysroot {image.arch.apk}", image.sysroot_packages),
        (f"apk-foreign.sh /rootfs {image.arch.apk}", image.system_packages),
        (f"apk-foreign.sh /target {image.arch.apk}", image.rust.packages if image.rust else ()),
    ):
        found = packages(TEXTS[image.id], script)
        assert found == sorted(set(found)) == list(expected)
        assert {"bash", "gcc", "cargo"} & set(found)


@pytest.mark.parametrize("image", NAMED)
def test_only_one_stage_runs_as_the_target(image: Image) -> None:
    """Everything that compiles or installs runs natively (docs/floor.md); package scripts must run as the target."""
    lines = instructions(TEXTS[image.id])
    target = f"--platform={image.arch.platform}"
    platform_of: dict[str, str] = {}
    runs: dict[str, int] = {}
    stage = ""
    for line in lines:
        if line.startswith("FROM "):
            words = line.split()
            assert words[-2] == "AS"
            stage = words[-1]
            given = [word for word in words if word.startswith("--platform=")]
            source = words[1 + len(given)]
            platform_of[stage] = given[0] if given else platform_of[source]
        elif line.startswith("RUN "):
            runs[stage] = runs.get(stage, 0) + 1
    emulated = {stage: runs.get(stage, 0) for stage, platform in platform_of.items() if platform == target}
    assert emulated == {"base": 0, "configured": 1, "image": 0}
    assert set(platform_of.values()) == {target, "--platform=$BUILDPLATFORM"}


@pytest.mark.parametrize("image", NAMED)
def test_every_stage_that_is_copied_from_is_there_before(image: Image) -> None:
    seen: set[str] = set()
    for line in instructions(TEXTS[image.id]):
        for name in re.findall(r"(?:--from=|,from=)([\w.-]+)", line):
            assert name in seen, line
        if line.startswith("FROM ") and " AS " in line:
            seen.add(line.split()[-1])


@pytest.mark.parametrize("image", NAMED)
def test_everything_that_is_copied_from_the_context_is_in_the_repository_or_assembled(image: Image) -> None:
    assembled = {"archives", "tools", "installer", "floor"}
    for line in instructions(TEXTS[image.id]):
        named = re.findall(r"type=bind,source=([^,\s]+)", line)
        if line.startswith("COPY ") and "--from=" not in line:
            named += line.split()[1:-1]
        for name in named:
            assert name.split("/")[0] in assembled or (ROOT / "images/files" / name).exists(), line


@pytest.mark.parametrize("image", NAMED)
def test_every_interpreter_gets_its_layers_and_each_series_is_built_once(image: Image) -> None:
    text = TEXTS[image.id]
    for python in image.interpreters:
        assert text.count(f"FROM cross AS {python.tag}\n") == 1
        assert text.count(f"COPY --from={python.tag} /out/ /\n") == 1
        assert text.count(f"COPY --from={python.tag}-tools /out/ /\n") == 1
        assert f"PREFIX={python.prefix} " in text
    assert len(image.interpreters) == 9
    assert len(re.findall(r"^FROM native AS build-python-", text, re.M)) == 7


@pytest.mark.parametrize("image", NAMED)
def test_environment_and_labels_of_the_model_are_the_images(image: Image) -> None:
    lines = instructions(TEXTS[image.id])
    (environment,) = [line for line in lines if line.startswith("ENV ") and "AUDITWHEEL" in line]
    assert dict(pair.split("=", 1) for pair in environment.split()[1:]) == dict(image.environment)
    (labels,) = [line for line in lines if line.startswith("LABEL ")]
    assert dict(re.findall(r'(\S+)="([^"]*)"', labels)) == dict(image.labels)
    assert "STANDIN" not in TEXTS[image.id].upper()


def test_an_image_from_the_standin_says_so_in_label_and_environment() -> None:
    rehearsed = resolve(MATRIX, replace(everything(MATRIX), name="standin", publishable=False))[0]
    text = dockerfile(rehearsed, TEMPLATES)
    assert 'io.github.musllinux-factory.standin="1"' in text
    assert "MUSLLINUX_STANDIN=1" in text


def test_rendering_is_a_pure_function() -> None:
    again = {image.id: dockerfile(image, TEMPLATES) for image in reversed(IMAGES)}
    assert again == TEXTS


def test_a_thirteenth_architecture_is_data_only(tmp_path: Path) -> None:
    overlay = tmp_path / "riscv64.yaml"
    overlay.write_text(
        """extends: default
architectures:
  riscv64:
    {apk: riscv64, platform: linux/riscv64, triple: riscv64-alpine-linux-musl, loader: ld-musl-riscv64.so.1,
     rust: riscv64gc-unknown-linux-musl, bits: 64, endian: little, uname: [riscv64], entry: [], march: [],
     qemu: riscv64, relative: 3}
"""
    )
    matrix = load(SHIPPED, [overlay])
    image = next(i for i in resolve(matrix, everything(matrix)) if i.id == "musllinux_1_2_riscv64")
    text = dockerfile(image, TEMPLATES)
    assert "FROM --platform=linux/riscv64" in text
    assert "AUDITWHEEL_PLAT=musllinux_1_2_riscv64" in text


def test_templates_ask_for_no_architecture_and_no_policy() -> None:
    """Conditions on them belong into the model, where the matrix decides."""
    names = [*MATRIX.architectures, *MATRIX.policies, *(a.apk for a in MATRIX.architectures.values())]
    for path in TEMPLATES.rglob("*.j2"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for logic in re.findall(r"{%.*?%}|{{.*?}}", line):
                assert not re.search(r"\bif\b.*\b(arch|policy)\b", logic), f"{path}:{number}"
                assert not any(re.search(rf"\b{name}\b", logic) for name in names), f"{path}:{number}"


def test_every_template_begins_with_what_it_is() -> None:
    for path in (TEMPLATES / "stages").iterdir():
        assert path.read_text().startswith("# --- "), path


# --- wrong templates ------------------------------------------------------------------------------------------------


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    return tmp_path / "templates"


def spoil(templates: Path, stage: str, line: str) -> str:
    """Put a line into a stage's template; the answer is its place as messages give it."""
    path = templates / "stages" / stage
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:1], line, *lines[1:]]) + "\n")
    return f"{path}:2"


WRONG = {
    "an unknown name": "ENV X={{ imagee.id }}",
    "an unknown attribute": "ENV X={{ image.arch.vendor }}",
    "an attribute of an unknown one": "ENV X={{ image.arch.vendor.name }}",
    "an unknown filter": "ENV X={{ image.id | shout }}",
    "a tag that does not end": "ENV X={{ image.id }",
    "an unknown tag": "{% ifarch %}",
    "an unknown template": '{% include "stages/nowhere.j2" %}',
    "a sum of a name and a number": "ENV X={{ image.id + 1 }}",
    "a loop over a number": "{% for x in image.arch.bits %}{% endfor %}",
    "a series without an archive": 'ENV X={{ image.archive("2.7").file }}',
}


@pytest.mark.parametrize("stage", ["final.j2", "base.j2"])
@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_a_wrong_template_is_one_line_with_its_place(templates: Path, stage: str, line: str) -> None:
    place = spoil(templates, stage, line)
    with pytest.raises(FactoryError) as caught:
        dockerfile(IMAGES[0], templates)
    assert caught.value.message.startswith(f"{place}: ")
    assert "\n" not in caught.value.message
    assert caught.value.message.removeprefix(f"{place}: ").strip()


def test_the_mistake_of_a_name_says_which_name(templates: Path) -> None:
    spoil(templates, "final.j2", "ENV X={{ image.arch.vendor }}")
    with pytest.raises(FactoryError, match="'vendor'"):
        dockerfile(IMAGES[0], templates)


def test_a_template_that_is_not_text_is_named(templates: Path) -> None:
    (templates / "stages/final.j2").write_bytes(b"# \xff\xfe\n")
    with pytest.raises(FactoryError, match=r"templates.*utf-8"):
        dockerfile(IMAGES[0], templates)


def test_templates_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(FactoryError, match=f"{tmp_path}.*Dockerfile.j2"):
        dockerfile(IMAGES[0], tmp_path)


# --- the verb -------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one's own, with nothing rendered."""
    root = tmp_path / "repository"
    root.mkdir()
    for name in ("matrix.yaml", "lock.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    shutil.copytree(TEMPLATES, root / "templates")
    monkeypatch.setenv("MUSLLINUX_ROOT", str(root))
    return root


Captured = Callable[[], tuple[str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Captured:
    def both() -> tuple[str, str]:
        out, err = capsys.readouterr()
        return out, err

    return both


def test_render_writes_what_changed_and_check_agrees_afterwards(copy: Path, said: Captured) -> None:
    assert cli.main(["render"]) == 0
    assert said()[1] == "12 Dockerfiles, 12 changed\n"
    assert {path.parent.name for path in copy.glob("images/*/Dockerfile")} == set(TEXTS)
    assert not list(copy.glob("images/*/.*")), "temporary names are left"
    written = (copy / "images/musllinux_1_2_i686/Dockerfile").stat().st_mtime_ns
    assert cli.main(["render", "--check"]) == 0
    assert cli.main(["render"]) == 0
    assert said()[1].endswith("12 Dockerfiles, 0 changed\n")
    assert (copy / "images/musllinux_1_2_i686/Dockerfile").stat().st_mtime_ns == written


def test_check_shows_what_differs_changes_nothing_and_fails(copy: Path, said: Captured) -> None:
    cli.main(["render"])
    said()
    place = copy / "images/musllinux_1_2_i686/Dockerfile"
    place.write_text(place.read_text().replace("FROM", "from"))
    edited = place.read_text()
    assert cli.main(["render", "--check"]) == 1
    out, err = said()
    assert "--- images/musllinux_1_2_i686/Dockerfile" in out
    assert "-from --platform=linux/386" in out
    assert "1 of 12 Dockerfiles are not up to date: run `musllinux render`" in err
    assert place.read_text() == edited


def test_check_of_a_repository_where_nothing_is_rendered_fails(copy: Path, said: Captured) -> None:
    assert cli.main(["render", "--check"]) == 1
    assert "12 of 12" in said()[1]
    assert not (copy / "images").exists()


def test_only_the_images_asked_for_are_rendered(copy: Path) -> None:
    assert cli.main(["render", "--arch", "s390x"]) == 0
    assert len(list(copy.glob("images/*"))) == 2


def test_a_dockerfile_of_no_image_is_found_and_removed(copy: Path, said: Captured) -> None:
    cli.main(["render"])
    (copy / "images/files").mkdir()
    gone = copy / "images/musllinux_1_3_x86_64/Dockerfile"
    gone.parent.mkdir()
    gone.write_text("FROM scratch\n")
    said()
    assert cli.main(["render", "--arch", "s390x", "--check"]) == 0, "not asked about"
    assert cli.main(["render", "--check"]) == 1
    assert "images/musllinux_1_3_x86_64/Dockerfile is of no image" in said()[0]
    assert gone.exists()
    assert cli.main(["render"]) == 0
    assert not gone.parent.exists()
    assert (copy / "images/files").exists()
    assert cli.main(["render", "--check"]) == 0


def test_a_wrong_template_is_a_line_on_the_command_line_and_nothing_is_written(copy: Path, said: Captured) -> None:
    place = spoil(copy / "templates", "final.j2", "ENV X={{ nobody }}")
    assert cli.main(["render"]) == 1
    out, err = said()
    assert (out, err) == ("", f"musllinux: {place}: 'nobody' is undefined\n  hint: templates/ is wrong\n")
    assert not (copy / "images").exists()


@pytest.mark.usefixtures("copy")
def test_an_unknown_image_is_bad_usage(said: Captured) -> None:
    assert cli.main(["render", "musllinux_1_2_sparc"]) == 2
    assert "no image 'musllinux_1_2_sparc' in the matrix" in said()[1]
