"""F17: primary and secondary rate limits, with and without a word on how long they last."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import PublishError
from tests.support.fake_github import FakeGitHub
from tests.support.fake_host import Fault
from tests.support.publications import Clock, github_place, publish

if TYPE_CHECKING:
    from pathlib import Path

SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wait_that_is_told_is_kept(status: int, method: str, tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        path = {"GET": "/7", "POST": "/comments"}[method]
        host.faults = [Fault(method, status, path=path, headers={"Retry-After": "17"}, message=SECONDARY)]
        assert publish(github_place(host, tmp_path), clock=clock).written
        assert len(host.own_bodies) == 1
    assert clock.slept[0] == 17.0


def test_the_primary_limit_is_waited_for_until_its_reset(tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        reset = str(int(time.time()) + 90)
        headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
        host.faults = [Fault("GET", 403, headers=headers, message="API rate limit exceeded")]
        assert publish(github_place(host, tmp_path), clock=clock).written
    assert 80 < clock.slept[0] < 95


def test_a_secondary_limit_without_a_word_lasts_a_minute_and_then_two(tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        host.faults = [Fault("GET", 403, path="/7", message=SECONDARY)]
        assert publish(github_place(host, tmp_path), clock=clock).written
        assert clock.slept == [60.0]
        host.faults = [Fault("PATCH", 403, message=SECONDARY)] * 3
        host.comments = {number: (author, f"{body} ") for number, (author, body) in host.comments.items()}
        with pytest.raises(PublishError):
            publish(github_place(host, tmp_path), clock=clock)
    assert clock.slept == [60.0, 60.0]  # a second minute is kept, two minutes more are not there


def test_the_limits_of_graphql_which_refuses_with_200_are_kept_too(tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 90)}
        host.faults = [
            Fault(
                "POST", 200, path="/graphql", headers=spent, message="API rate limit already exceeded for user ID 1."
            ),
            Fault("POST", 200, path="/graphql", headers={"Retry-After": "17"}, message=SECONDARY),
        ]
        assert publish(github_place(host, tmp_path), clock=clock).written
    assert 80 < clock.slept[0] < 95
    assert clock.slept[1:] == [17.0]


def test_a_bad_date_is_a_minute(tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        host.faults = [
            Fault("POST", 429, path="comments", headers={"Retry-After": "next Tuesday"}, message="slow down")
        ]
        assert publish(github_place(host, tmp_path), clock=clock).written
    assert clock.slept[0] == 60.0


@pytest.mark.parametrize("ahead_s", [0.0, 7200.0, -7200.0])
@pytest.mark.parametrize("told", ["Retry-After", "x-ratelimit-reset"])
def test_a_moment_that_is_told_is_one_of_the_hosts_clock(told: str, ahead_s: float, tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        host.ahead_s = ahead_s
        until_s = host.now_s + 90
        moment = formatdate(until_s, usegmt=True) if told == "Retry-After" else str(int(until_s))
        host.faults = [Fault("GET", 429, headers={told: moment, "x-ratelimit-remaining": "0"}, message=SECONDARY)]
        assert publish(github_place(host, tmp_path), clock=clock).written
    assert 80 < clock.slept[0] < 95


@pytest.mark.parametrize("told", ["Retry-After", "x-ratelimit-reset"])
def test_a_moment_that_is_past_is_a_minute(told: str, tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        moment = formatdate(host.now_s - 90, usegmt=True) if told == "Retry-After" else str(int(host.now_s - 90))
        host.faults = [Fault("GET", 429, headers={told: moment, "x-ratelimit-remaining": "0"}, message=SECONDARY)]
        assert publish(github_place(host, tmp_path), clock=clock).written
    assert clock.slept[0] == 60.0


def test_what_the_budget_cannot_bear_is_given_up_at_once_and_told(tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        host.faults = [Fault("GET", 429, headers={"Retry-After": "3600"}, message="slow down")]
        with pytest.raises(PublishError, match=r"answered 429, slow down, to be repeated in 1 h 0 min, and"):
            publish(github_place(host, tmp_path), clock=clock)
        assert len(host.seen) == 1
    assert clock.slept == []


def test_writing_requests_are_a_second_apart(tmp_path: Path) -> None:
    clock = Clock()
    with FakeGitHub() as host:
        marker_line = ""
        assert publish(github_place(host, tmp_path), clock=clock).written
        marker_line = host.own_bodies[0].splitlines()[0]
        for _ in range(3):
            host.say(f"{marker_line}\nold")
        before_s = clock.now_s
        assert publish(github_place(host, tmp_path), clock=clock).written
        assert len(host.requests("DELETE")) == 3
    assert clock.now_s - before_s == pytest.approx(2.0)
