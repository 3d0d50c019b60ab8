"""F16: the token may not write comments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands.cli import main
from pipeline.errors import PublishError
from pipeline.hosts.secret import Secret
from tests.support.fake_github import FakeGitHub
from tests.support.publications import github_environment, github_place, publish

SAMPLE = str(Path(__file__).parents[2] / "examples/report-sample")


def test_the_error_names_the_permission_to_add(tmp_path: Path) -> None:
    with FakeGitHub(may_write=False) as host:
        with pytest.raises(PublishError) as caught:
            publish(github_place(host, tmp_path))
        assert caught.value.exit_code == 10
        assert "answered 403, Resource not accessible by integration" in caught.value.why
        assert "`permissions: pull-requests: write`" in caught.value.fix


def test_on_a_fork_it_says_how_a_maintainer_gets_the_comment(tmp_path: Path) -> None:
    with FakeGitHub(may_write=False) as host:
        with pytest.raises(PublishError, match="pushes its branch to this repository"):
            publish(github_place(host, tmp_path, head_repository="stranger/models"))
        assert host.comments == {}


def test_a_refusal_is_not_waited_out_or_repeated(tmp_path: Path) -> None:
    with FakeGitHub(may_write=False) as host:
        with pytest.raises(PublishError):
            publish(github_place(host, tmp_path))
        assert len([seen for seen in host.requests("POST") if seen.path.endswith("/comments")]) == 1


def test_without_a_token_nothing_is_asked(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        with pytest.raises(PublishError, match="the run was given no token"):
            publish(replace(github_place(host, tmp_path), token=None))
        assert host.seen == []


def test_a_token_that_is_not_known_is_told_without_showing_it(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        with pytest.raises(PublishError, match="401, Bad credentials") as caught:
            publish(replace(github_place(host, tmp_path), token=Secret("ghs_another")))
        assert "ghs_another" not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"


def test_the_report_is_in_the_summary_with_the_way_to_the_comment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeGitHub(may_write=False) as host:
        environment = github_environment(host, tmp_path) | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
        assert main(["report", "--from", SAMPLE, "--publish"], environment) == 0
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("## TensorRT engines")
    assert "**No comment**: `the comment on pull request 7 was not written`" in summary
    assert "permissions: pull-requests: write" in summary
    assert "warning: the comment on pull request 7 was not written" in capsys.readouterr().err


def test_publishing_fails_a_passing_build_only_where_it_is_required(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeGitHub(may_write=False) as host:
        environment = github_environment(host, tmp_path)
        assert main(["report", "--from", SAMPLE, "--publish"], environment) == 0
        assert main(["report", "--from", SAMPLE, "--publish-required"], environment) == 10
        assert main(["report", "--from", SAMPLE, "--publish-required", "--exit-code"], environment) == 6
    assert "error: the comment on pull request 7 was not written" in capsys.readouterr().err
