from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.hosts.job_log import (
    Annotation,
    GitHubLog,
    GitLabLog,
    JobLog,
    job_log_from_environment,
    secrets_from_environment,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def errors(count: int) -> list[Annotation]:
    lines = range(1, count + 1)
    return [Annotation(file="m.yaml", line=n, column=5, title=f"job {n}", text="50 %\nbad") for n in lines]


@pytest.mark.parametrize(
    ("environment", "kind"),
    [({"GITHUB_ACTIONS": "true"}, GitHubLog), ({"GITLAB_CI": "true"}, GitLabLog), ({}, JobLog)],
)
def test_each_runner_has_its_own(environment: Mapping[str, str], kind: type[JobLog]) -> None:
    assert type(job_log_from_environment(environment)) is kind


def test_a_group_listens_only_for_its_own_commands(capsys: pytest.CaptureFixture[str]) -> None:
    log = GitHubLog("word")
    with log.guarded(), log.section("Plan"):
        print("::error::foreign")
    printed = capsys.readouterr()
    assert printed.out == "::error::foreign\n"
    assert printed.err.splitlines() == [
        "::stop-commands::word",
        "::word::",
        "::group::Plan",
        "::stop-commands::word",
        "::word::",
        "::endgroup::",
        "::stop-commands::word",
        "::word::",
    ]


def test_a_group_ends_also_where_its_block_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), GitHubLog().section("Plan"):
        raise RuntimeError
    assert capsys.readouterr().err.splitlines() == ["::group::Plan", "::endgroup::"]


def test_an_annotation_names_file_line_and_column(capsys: pytest.CaptureFixture[str]) -> None:
    GitHubLog().annotate(errors(1))
    assert capsys.readouterr().err == "::error file=m.yaml,line=1,col=5,title=job 1::50 %25 bad\n"


@pytest.mark.parametrize(("count", "last"), [(10, "job 10::50 %25 bad"), (11, "and 2 more"), (40, "and 31 more")])
def test_ten_errors_are_shown_and_the_rest_counted(count: int, last: str, capsys: pytest.CaptureFixture[str]) -> None:
    GitHubLog().annotate(errors(count))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert last in lines[-1]


def test_nothing_to_annotate_is_nothing_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    GitHubLog().annotate([])
    assert capsys.readouterr().err == ""


def test_gitlab_folds_between_two_marks_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    with GitLabLog().section("Building and checking"):
        pass
    start, end = capsys.readouterr().err.split("\n")[:2]
    assert start.startswith("\x1b[0Ksection_start:")
    assert start.endswith(":trt_engines_building_and_checking\r\x1b[0KBuilding and checking")
    assert end.startswith("\x1b[0Ksection_end:")
    assert end.endswith(":trt_engines_building_and_checking\r\x1b[0K")


def test_elsewhere_nothing_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    log = JobLog()
    with log.guarded(), log.section("Plan"):
        log.annotate(errors(3))
    assert capsys.readouterr().err == ""


def test_githubs_runner_is_told_what_to_hide_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    GitHubLog().mask(["a%b-secret", "two\nlines of it", "abc", ""])
    assert capsys.readouterr().err == "::add-mask::a%25b-secret\n::add-mask::lines of it\n"


def test_other_logs_are_told_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    for log in (JobLog(), GitLabLog()):
        log.mask(["secret"])
    assert capsys.readouterr() == ("", "")


def test_the_secrets_are_those_of_the_hosts_the_cache_and_aws() -> None:
    environment = {"GITHUB_TOKEN": "a", "AWS_SESSION_TOKEN": "b", "TRT_ENGINE_CACHE_SECRET": "c", "PATH": "/bin"}
    assert sorted(secrets_from_environment(environment)) == ["a", "b", "c"]
