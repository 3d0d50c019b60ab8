from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import PublishError
from pipeline.hosts.place import Place, place_from_environment
from pipeline.publish.job_report import Status
from tests.support.fake_gitlab import FakeGitLab
from tests.support.fake_host import HANG_UP, Fault
from tests.support.publications import Clock, elapsed, publish
from tests.support.reports import job_report, report_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def host() -> Iterator[FakeGitLab]:
    with FakeGitLab() as opened:
        yield opened


def place_on(host: FakeGitLab, **changed: str) -> Place:
    place = place_from_environment(host.environment() | changed)
    assert place is not None
    return place


def test_one_note_is_written_and_then_edited_in_place(host: FakeGitLab) -> None:
    assert publish(place_on(host), lambda: (elapsed(11.0),)).written
    done = publish(place_on(host), lambda: (elapsed(22.0),))
    assert done.told == "the comment on merge request 11 is up to date"
    (body,) = host.own_bodies
    assert "22.0 s" in body
    assert "](https://gitlab.example.com/team/models/-/pipelines/9), of commit `aaaa" in body


def test_a_note_is_as_short_as_a_comment_on_github(host: FakeGitLab) -> None:
    jobs = (job_report(f"m{number}/sm_89/fp16", Status.BUILT, "new " * 60) for number in range(1000))
    report = report_of(*jobs)
    assert publish(place_on(host), lambda: (report,)).written
    (body,) = host.own_bodies
    assert len(body.encode()) <= 65_536
    assert "**Passed**: 1000 jobs" in body


def test_a_note_far_down_a_long_conversation_is_found(host: FakeGitLab) -> None:
    publish(place_on(host), lambda: (elapsed(11.0),))
    for number in range(120):
        host.say(f"talk {number}", author=1)
    publish(place_on(host), lambda: (elapsed(22.0),))
    assert len(host.own_bodies) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("status", [HANG_UP, 500, 502])
def test_an_unclear_answer_leaves_exactly_one_note(status: int, after: bool, host: FakeGitLab) -> None:
    host.faults = [Fault("POST", status, after=after)]
    assert publish(place_on(host)).written
    assert len(host.own_bodies) == 1


def test_a_rate_limit_is_waited_out(host: FakeGitLab) -> None:
    clock = Clock()
    host.faults = [Fault("GET", 429, headers={"Retry-After": "30", "RateLimit-Reset": "1"}, message="Retry later")]
    assert publish(place_on(host), clock=clock).written
    assert clock.slept == [30.0]


def test_a_token_that_may_only_read_is_told_what_it_needs() -> None:
    with FakeGitLab(may_write=False) as host, pytest.raises(PublishError, match="403, insufficient_scope") as caught:
        publish(place_on(host))
    assert "GITLAB_TOKEN" in caught.value.fix
    assert "scope `api`" in caught.value.fix


def test_without_a_token_it_says_which_variable_to_set(host: FakeGitLab) -> None:
    with pytest.raises(PublishError, match="GITLAB_TOKEN"):
        publish(replace(place_on(host), token=None))
    assert host.seen == []


def test_the_tip_of_the_branch_counts_in_a_pipeline_for_merged_results(host: FakeGitLab) -> None:
    place = place_on(host, CI_COMMIT_SHA="f" * 40, CI_MERGE_REQUEST_SOURCE_BRANCH_SHA="a" * 40)
    assert publish(place).written


def test_a_branch_that_has_moved_on_gets_no_old_figures(host: FakeGitLab) -> None:
    place = place_on(host)
    host.head = "b" * 40
    assert "has moved on from aaaaaaaaaaaa to bbbbbbbbbbbb" in publish(place).told
    assert host.notes == {}


def test_a_note_of_the_system_is_none_of_ours(host: FakeGitLab) -> None:
    publish(place_on(host))
    (body,) = host.own_bodies
    host.notes.clear()
    host.say(body, system=True)
    assert publish(place_on(host)).written
    assert len(host.own_bodies) == 1


def test_a_deleted_note_is_written_anew(host: FakeGitLab) -> None:
    publish(place_on(host))
    host.before_reply = [lambda method, _path: host.notes.clear() if method == "PUT" else None]
    assert publish(place_on(host), lambda: (elapsed(22.0),)).written
    assert len(host.own_bodies) == 1


def test_a_closed_merge_request_gets_no_new_note(host: FakeGitLab) -> None:
    host.state = "merged"
    assert publish(place_on(host)).told == "no comment: the merge request is closed and has none yet"
