"""F22: what becomes of the comment where a run was cancelled, or its time was up."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.support.fake_github import FakeGitHub
from tests.support.fake_host import Fault
from tests.support.faulty_step import MANIFEST, has_kept, report_in, run_step_in, start_step
from tests.support.publications import github_environment

if TYPE_CHECKING:
    from pathlib import Path

RUN = ("run", "--manifest", str(MANIFEST), "--workers", "5", "--publish-required")
HANGING = [{"name": "build-*-12.0", "fault": "hang"}]
LIMIT = ("--time-limit-s", "0.5")
ALL_ELSE = {"engine": 6, "check": 3}


def test_F22_a_run_whose_time_is_up_publishes_what_it_did_and_what_it_did_not(tmp_path: Path, recordings: Path) -> None:
    with FakeGitHub() as host:
        environment = github_environment(host, tmp_path)
        result = run_step_in(
            tmp_path, *RUN, *LIMIT, faults=HANGING, recordings=recordings, kept=ALL_ELSE, environment=environment
        )
        (body,) = host.own_bodies
    assert result.returncode == 6, result.stderr
    assert "the comment on pull request 7 is up to date" in result.stderr
    assert "**Failed (exit code 6)**" in body
    assert "the time limit of the run was reached" in body


def test_F22_a_host_that_asks_for_patience_gets_it_after_the_time_is_up(tmp_path: Path, recordings: Path) -> None:
    with FakeGitHub() as host:
        host.faults.append(Fault("GET", 503, "/comments"))
        environment = github_environment(host, tmp_path)
        result = run_step_in(
            tmp_path, *RUN, *LIMIT, faults=HANGING, recordings=recordings, kept=ALL_ELSE, environment=environment
        )
        assert len(host.own_bodies) == 1, result.stderr


def test_F22_a_run_that_was_cancelled_leaves_the_comment_as_it_is(tmp_path: Path, recordings: Path) -> None:
    with FakeGitHub() as host:
        environment = github_environment(host, tmp_path) | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
        begun = time.monotonic()
        process = start_step(tmp_path, *RUN, faults=HANGING, recordings=recordings, environment=environment)
        while not has_kept(tmp_path, {"engine": 1}):
            time.sleep(0.05)
            assert process.poll() is None, process.communicate()
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert time.monotonic() - asked < max(5, asked - begun)
        assert host.seen == []
    assert process.returncode == 130, stderr
    assert report_in(tmp_path)["verdict"] == "cancelled"
    assert "error: the comment was not written" in stderr
    assert list((tmp_path / ".trt-cache/v1/receipt").glob("part-*")) == []
    assert (
        "**No comment**: `the comment was not written`. Why: `the run was cancelled`"
        in (tmp_path / "summary.md").read_text()
    )
