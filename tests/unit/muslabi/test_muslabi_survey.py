"""The recorded survey: nothing unexplained, nothing explained in vain, and what must be found is found."""

from pathlib import Path

import pytest

from muslabi_survey import page, results
from muslabi_survey.fetch import projects

RUN = results.load()
KNOWN = page.explanations()
DOCS = Path(__file__).resolve().parents[3] / "docs" / "muslabi-survey.md"


def of(project: str) -> list[results.Result]:
    found = [one for one in RUN.results if one.project == project]
    assert found, f"the survey has no wheel of {project}"
    return found


def test_no_finding_is_unexplained() -> None:
    assert list(page.unexplained(RUN, KNOWN)) == []


def test_no_explanation_is_left_over() -> None:
    assert page.idle(RUN, KNOWN) == []


def test_the_page_is_what_results_and_explanations_make() -> None:
    assert DOCS.read_text(encoding="utf-8") == page.render(RUN, KNOWN)


def test_an_unexplained_finding_is_noticed() -> None:
    assert len(list(page.unexplained(RUN, KNOWN[:1]))) > 0


def test_some_forty_projects_on_all_architectures_were_surveyed() -> None:
    assert len(projects()["projects"]) >= 40
    assert {one.project for one in RUN.results} == set(projects()["projects"])
    assert {one.arch for one in RUN.results} == set(projects()["arches"])


@pytest.mark.parametrize("project", ["obstore", "primp"])
@pytest.mark.parametrize("arch", ["i686", "armv7l"])
def test_the_known_mixers_are_found(project: str, arch: str) -> None:
    (result,) = [one for one in of(project) if one.arch == arch]
    assert [said.code for said in result.findings] == ["time-mix"]
    assert "mixed" in result.time_abi


@pytest.mark.parametrize("project", ["rpds-py", "nh3", "cramjam", "css-inline", "lxml", "tokenizers"])
def test_consistent_wheels_are_not_called_mixers(project: str) -> None:
    for result in of(project):
        assert "time-mix" not in {said.code for said in result.findings}
        assert "mixed" not in result.time_abi


def test_every_result_names_its_file_exactly() -> None:
    for result in RUN.results:
        assert len(result.sha256) == 64
        assert result.wheel.endswith(".whl")
        assert "musllinux" in result.wheel
