"""F18: the answer to a new comment is an error, before or after the comment was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import PublishError
from pipeline.hosts.sticky import Sticky
from tests.support.fake_github import FakeGitHub
from tests.support.fake_host import HANG_UP, Fault, Reply
from tests.support.publications import MANIFEST, Clock, github_place, publish

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("status", [HANG_UP, 500, 502, 503])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_there_is_exactly_one_comment(status: int, after: bool, tmp_path: Path) -> None:
    with FakeGitHub() as host:
        host.faults = [Fault("POST", status, path="/comments", after=after)]
        assert publish(github_place(host, tmp_path)).written
        assert len(host.own_bodies) == 1
        posts = [seen for seen in host.requests("POST") if seen.path.endswith("/comments")]
        assert len(posts) == (1 if after else 2)


def test_the_comments_are_listed_between_two_attempts(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        host.faults = [Fault("POST", 502, path="/comments")]
        publish(github_place(host, tmp_path))
        calls = [(seen.method, seen.status) for seen in host.seen if "/comments" in seen.path]
    assert calls[:4] == [("GET", 200), ("POST", 502), ("GET", 200), ("POST", 201)]


def test_a_host_gets_time_to_list_what_it_may_have_taken(tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        host.faults = [Fault("POST", 502, path="/comments", after=True)]
        publish(github_place(host, tmp_path), clock=clock)
    assert clock.slept == [2.0]


def test_what_the_host_took_and_does_not_list_yet_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeGitHub()
    sound = host.reply

    def reply(method: str, path: str, *rest: Any) -> Reply:
        lists = method == "GET" and path.endswith("/comments")
        return Reply(200, []) if lists else sound(method, path, *rest)

    monkeypatch.setattr(host, "reply", reply)
    with host:
        assert publish(github_place(host, tmp_path)).written
        assert len(host.own_bodies) == 1


def test_a_comment_that_another_job_wrote_while_this_one_waited_for_its_turn_is_the_only_one(tmp_path: Path) -> None:
    class Elsewhere(Clock):
        def sleep(self, wait_s: float) -> None:
            super().sleep(wait_s)
            if not host.own_bodies:
                host.say(Sticky(MANIFEST).first_line("0" * 40))

    with FakeGitHub() as host:
        host.faults = [Fault("POST", 429, path="/comments", headers={"Retry-After": "17"}, message="slow down")]
        assert publish(github_place(host, tmp_path), clock=Elsewhere()).written
        assert len(host.own_bodies) == 1
        posts = [seen.status for seen in host.requests("POST") if seen.path.endswith("/comments")]
        assert posts == [429]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("status", [HANG_UP, 502])
def test_what_can_be_repeated_is_repeated(method: str, status: int, tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        publish(github_place(host, tmp_path))
        host.comments = {number: (author, f"{body} ") for number, (author, body) in host.comments.items()}
        host.faults = [Fault(method, status), Fault(method, status)]
        assert publish(github_place(host, tmp_path), clock=clock).written
        assert host.faults == []
        assert len(host.own_bodies) == 1


def test_a_host_that_stays_away_is_given_up_within_the_budget(tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        host.faults = [Fault("GET", 503)] * 50
        with pytest.raises(PublishError, match="answered 503"):
            publish(github_place(host, tmp_path), clock=clock)
    assert clock.now_s < 180.0
