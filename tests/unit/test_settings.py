from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.provenance.origin import Origin
from pipeline.revision import Revision
from pipeline.settings import settings_from_mapping


def test_the_command_line_wins_over_the_environment_and_that_over_the_default() -> None:
    environment = {"TRT_ENGINE_MANIFEST": "from-environment.yaml", "TRT_ENGINE_OUT": "/environment"}
    settings = settings_from_mapping(environment, manifest="from-line.yaml")
    assert settings.manifest == Path("from-line.yaml")
    assert settings.out == Path("/environment")
    assert settings.cache is not None
    assert settings.cache.folder == Path(".trt-cache").absolute()


def test_a_manifest_in_the_working_folder_is_called_as_the_repository_calls_it(tmp_path: Path) -> None:
    inside = Path.cwd() / "models/trt-engines.yaml"
    assert settings_from_mapping({}, manifest=str(inside)).manifest == Path("models/trt-engines.yaml")
    assert settings_from_mapping({}, manifest=str(tmp_path / "x.yaml")).manifest == tmp_path / "x.yaml"


def test_the_cache_can_be_switched_off() -> None:
    assert settings_from_mapping({}, cache="none").cache is None


def test_the_files_of_a_workflow_step_are_found() -> None:
    settings = settings_from_mapping({"GITHUB_STEP_SUMMARY": "/s", "GITHUB_OUTPUT": "/o"})
    assert (settings.step_summary, settings.step_outputs) == (Path("/s"), Path("/o"))


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "0"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        settings_from_mapping({"TRT_ENGINE_WORKERS": text})


@pytest.mark.parametrize(
    ("environment", "scope"),
    [
        ({"USER": "ada"}, "local/ada"),
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main", "GITHUB_REF_PROTECTED": "true"}, "trusted"),
        ({"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge"}, "pr/42/7"),
        ({"GITLAB_CI": "true", "CI_PROJECT_ID": "42", "CI_MERGE_REQUEST_IID": "7"}, "pr/42/7"),
        ({"GITLAB_CI": "true", "CI_PROJECT_ID": "42", "CI_COMMIT_REF_PROTECTED": "true"}, "trusted"),
    ],
)
def test_the_scope_of_a_shared_cache_follows_the_event(environment: dict[str, str], scope: str) -> None:
    github = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY_ID": "42"} if "GITHUB_REF" in environment else {}
    assert settings_from_mapping(environment | github).cache_scope == scope


def test_T12_a_pull_request_with_the_rights_of_its_base_is_refused() -> None:
    environment = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request_target",
        "GITHUB_REF": "refs/heads/main",
    }
    with pytest.raises(SettingsError, match="pull_request_target"):
        settings_from_mapping(environment)


@pytest.mark.parametrize(
    ("environment", "revision"),
    [
        ({}, Revision()),
        (
            {
                "GITHUB_REPOSITORY": "acme/models",
                "GITHUB_SHA": "c1",
                "GITHUB_REF": "refs/heads/main",
                "GITHUB_REF_NAME": "main",
                "GITHUB_BASE_REF": "",
            },
            Revision(repository="acme/models", commit="c1", branch="main"),
        ),
        (
            {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_REF_NAME": "7/merge", "GITHUB_BASE_REF": "main"},
            Revision(base="main"),
        ),
        ({"GITHUB_REF": "refs/tags/v1", "GITHUB_REF_NAME": "v1"}, Revision()),
        (
            {"CI_PROJECT_PATH": "acme/models", "CI_COMMIT_SHA": "c2", "CI_COMMIT_BRANCH": "main"},
            Revision(repository="acme/models", commit="c2", branch="main"),
        ),
        ({"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}, Revision(base="main")),
        (
            {"TRT_ENGINE_BASE_BRANCH": "dev", "GITHUB_BASE_REF": "main", "TRT_ENGINE_BRANCH": "mine"},
            Revision(base="dev"),
        ),
    ],
)
def test_what_is_built_and_compared_with_follows_the_host(environment: dict[str, str], revision: Revision) -> None:
    assert settings_from_mapping(environment).revision == revision


def test_a_run_on_github_says_who_builds_from_which_commit() -> None:
    environment = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_REPOSITORY": "team/models",
        "GITHUB_REPOSITORY_ID": "42",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_RUN_ID": "7",
        "GITHUB_SERVER_URL": "https://example.com",
        "GITHUB_SHA": "abc",
        "GITHUB_WORKFLOW_REF": "team/models/.github/workflows/ci.yml@refs/heads/main",
        "TRT_ENGINE_IMAGE": "example.com/action@sha256:0",
    }
    assert settings_from_mapping(environment).origin == Origin(
        builder="https://example.com/team/models/.github/workflows/ci.yml@refs/heads/main",
        repository="https://example.com/team/models",
        ref="refs/heads/main",
        commit="abc",
        invocation="https://example.com/team/models/actions/runs/7/attempts/2",
        image="example.com/action@sha256:0",
    )


def test_a_run_on_gitlab_says_who_builds_from_which_commit() -> None:
    environment = {
        "CI_COMMIT_REF_NAME": "main",
        "CI_COMMIT_SHA": "abc",
        "CI_JOB_IMAGE": "example.com/action:1",
        "CI_JOB_URL": "https://example.com/team/models/-/jobs/7",
        "CI_PROJECT_URL": "https://example.com/team/models",
    }
    assert settings_from_mapping(environment).origin == Origin(
        builder="https://example.com/team/models",
        repository="https://example.com/team/models",
        ref="main",
        commit="abc",
        invocation="https://example.com/team/models/-/jobs/7",
        image="example.com/action:1",
    )


def test_a_run_elsewhere_has_no_origin_but_the_step_itself() -> None:
    assert settings_from_mapping({}).origin == Origin()


def test_entries_of_the_cache_live_for_ever_unless_an_age_is_given() -> None:
    assert settings_from_mapping({}).cache_max_age_days is None
    assert settings_from_mapping({"TRT_ENGINE_CACHE_MAX_AGE_DAYS": "90"}).cache_max_age_days == 90
    given = settings_from_mapping({"TRT_ENGINE_CACHE_MAX_AGE_DAYS": "90"}, cache_max_age_days="0.5")
    assert given.cache_max_age_days == 0.5


@pytest.mark.parametrize("text", ["0", "-1", "ninety", "1e3", "nan", "123456", "٣"])
def test_an_age_that_is_no_number_of_days_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="no number of days above 0"):
        settings_from_mapping({}, cache_max_age_days=text)
