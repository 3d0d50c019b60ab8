"""F19: a report of any size becomes a comment that the host takes, with verdict and link."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.hosts.place import HostKind, Place
from pipeline.hosts.publication import comment_body
from pipeline.hosts.sticky import Sticky
from pipeline.publish.job_report import Status
from pipeline.publish.report import Outcome, Report
from tests.support.fake_github import FakeGitHub
from tests.support.fake_host import Fault
from tests.support.publications import github_place, parts_of, publish
from tests.support.reports import job_report, report_of

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 65_536
PLACE = Place(
    kind=HostKind.GITHUB,
    api_url="https://api.github.com",
    project="team/models",
    number=7,
    commit="a" * 40,
    run_url="https://github.com/team/models/actions/runs/123",
    fork=False,
    token=None,
)


def report_of_size(jobs: int, text: str) -> Report:
    """So many jobs, each of which says ``text``."""
    each = (job_report(f"m{number}/sm_89/fp16", Status.BUILT, text, warnings=(text,)) for number in range(jobs))
    return report_of(*each, verdict=Outcome.FAILED, exit_code=6)


def check(body: str) -> None:
    assert len(body) <= len(body.encode()) <= LIMIT
    assert "**Failed (exit code 6)**" in body
    assert "](https://github.com/team/models/actions/runs/123), of commit `aaaa" in body
    assert body.startswith("<!-- tensorrt-engine-action manifest=")


@given(jobs=st.integers(0, 700), text=st.text(max_size=300))
@settings(max_examples=40)
def test_verdict_and_link_are_there_at_every_size(jobs: int, text: str) -> None:
    check(comment_body(parts_of(report_of_size(jobs, text)), PLACE, Sticky("m.yaml"), LIMIT))


@pytest.mark.parametrize("text", ["x" * 200, "\N{PARTY POPPER}" * 100, "\N{GREEK SMALL LETTER ALPHA}" * 100])
def test_the_last_bytes_below_the_limit_are_not_overrun(text: str) -> None:
    lengths = [
        len(comment_body(parts_of(report_of_size(jobs, text)), PLACE, Sticky("m.yaml"), LIMIT))
        for jobs in range(150, 190)
    ]
    assert max(lengths) <= LIMIT


def test_the_line_with_the_link_is_counted_too() -> None:
    place = replace(PLACE, run_url=f"https://{'github.' * 500}example/actions/runs/123")
    body = comment_body(parts_of(report_of_size(700, "why " * 60)), place, Sticky("m.yaml"), LIMIT)
    assert LIMIT - 4000 < len(body.encode()) <= LIMIT
    assert f"]({place.run_url}), of commit `aaaa" in body


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537])
def test_what_the_host_takes_is_what_it_says(length: int, tmp_path: Path) -> None:
    """The fake refuses as GitHub does, so that the other tests mean something."""
    from pipeline.hosts.conversation import TooLong
    from pipeline.hosts.github import GitHubConversation
    from tests.support.publications import Clock

    with FakeGitHub() as host:
        place = github_place(host, tmp_path)
        assert place.token is not None
        conversation = GitHubConversation(place, place.token, Clock().patience())
        if length > LIMIT:
            with pytest.raises(TooLong):
                conversation.create("\N{PARTY POPPER}" * length)
        else:
            conversation.create("\N{PARTY POPPER}" * length)


def test_a_huge_report_is_taken_at_once(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        assert publish(github_place(host, tmp_path), lambda: (report_of_size(2000, "why " * 60),)).written
        check(host.own_bodies[0])
        assert "left out here for want of room" in host.own_bodies[0]


def test_a_host_that_takes_less_gets_a_shorter_one(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        host.faults = [Fault("POST", 422, path="/comments", message="Body is too long")]
        report = replace(report_of_size(2000, "why " * 60))
        assert publish(github_place(host, tmp_path), lambda: (report,)).written
        check(host.own_bodies[0])
        assert len(host.own_bodies[0]) <= LIMIT // 2
