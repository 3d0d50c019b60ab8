from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.doctor.host import host_findings
from pipeline.hosts.place import place_from_environment
from tests.support.fake_github import FakeGitHub
from tests.support.fake_gitlab import FakeGitLab
from tests.support.fake_host import Fault
from tests.support.publications import Clock, github_place

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.hosts.place import Place


def told(place: Place | None) -> list[tuple[str, str]]:
    return [(each.level, each.text) for each in host_findings(place, Clock().patience(20.0))]


def test_outside_of_a_host_nothing_is_said_or_asked() -> None:
    assert told(place_from_environment({})) == []


def test_on_github_it_names_the_token_and_the_right_that_comments_need(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        found = told(github_place(host, tmp_path))
    assert found == [
        ("ok", f"{host.url} answers; the token is that of github-actions[bot]"),
        ("ok", "the token reads pull request 7; to write, it needs `permissions: pull-requests: write`"),
    ]


def test_a_token_that_is_not_known_is_a_note(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        host.faults = [Fault("POST", 401, message="Bad credentials")]
        ((level, text),) = told(github_place(host, tmp_path))
    assert level == "note"
    assert text.endswith("answered 401, Bad credentials")


def test_a_host_that_does_not_answer_is_a_note(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        place = github_place(host, tmp_path)
    ((level, text),) = told(place)
    assert level == "note"
    assert "does not answer" in text


def test_no_token_says_where_one_goes(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        place = replace(github_place(host, tmp_path), token=None)
    assert told(place) == [("note", "no token, so no comment can be written: give the input `github-token`")]


def test_on_gitlab_the_scopes_of_the_token_are_looked_at() -> None:
    with FakeGitLab() as host:
        assert [level for level, _ in told(place_from_environment(host.environment()))] == ["ok", "ok"]
    with FakeGitLab(may_write=False) as host:
        found = told(place_from_environment(host.environment()))
    assert ("note", "the token's scopes are read_api: comments want `api`") in found


def test_a_run_of_a_branch_has_nothing_to_comment_on() -> None:
    with FakeGitLab() as host:
        environment = host.environment()
        del environment["CI_MERGE_REQUEST_IID"]
        assert told(place_from_environment(environment))[-1][1].startswith("this run belongs to no merge request")
