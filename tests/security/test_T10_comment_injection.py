"""T10: a pull request's author writes neither links, images, mentions nor tables into our comment, nor owns it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.hosts.place import HostKind, Place, place_from_environment
from pipeline.hosts.publication import comment_body
from pipeline.hosts.sticky import Sticky
from pipeline.publish.details import Details
from pipeline.publish.parts import Parts
from tests.support.details import hostile_details
from tests.support.fake_github import HEAD, STRANGER, FakeGitHub
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.publications import MANIFEST, github_environment, github_place, parts_of, publish
from tests.support.rendered_markdown import lines_outside_of_code, lines_outside_of_code_for_gitlab, links, live_parts
from tests.support.reports import hostile_report

if TYPE_CHECKING:
    from pathlib import Path

RUN = "https://github.com/team/models/actions/runs/123"
MARKER = Sticky(MANIFEST).first_line(HEAD)


def body_of(text: str, *, begun: bool = True) -> str:
    place = Place(
        kind=HostKind.GITHUB,
        api_url="",
        project="team/models",
        number=7,
        commit="a" * 40,
        run_url=RUN,
        fork=True,
        token=None,
    )
    report = hostile_report(text)
    parts = Parts((report,), hostile_details(text, report.jobs[0].id), {})
    if not begun:
        parts = Parts((replace(report, jobs=()),), Details(), {})
    return comment_body(parts, place, Sticky(text), 65_536)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_the_comment_has_one_link_and_it_is_ours(text: str) -> None:
    assert links(body_of(text)) == [RUN]


@pytest.mark.parametrize(
    "text", [*HOSTILE_TEXTS, "-->", "/close", "\n/merge\n", "<br>- @octocat", "`x`[y](http://z.example)"]
)
def test_a_hostile_manifest_that_kept_a_run_from_its_jobs_is_text_in_the_comment(text: str) -> None:
    body = body_of(text, begun=False)
    assert links(body) == [RUN]
    assert live_parts(body) - set("[]") == set()
    assert not [line for line in lines_outside_of_code(body) if line.lstrip().startswith("/")]


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, "-->", "/close", "\n/merge\n", "--!> @octocat"])
def test_foreign_text_stays_text(text: str) -> None:
    assert live_parts(body_of(text)) - set("[]") == set()


@settings(max_examples=60)
@given(st.text(alphabet="`|\\ \n\t<>@[]()!#*_~-:&;ab1.\x1b\u2028/", max_size=50))
def test_any_foreign_text_stays_text(text: str) -> None:
    body = body_of(text)
    assert links(body) == [RUN]
    assert live_parts(body) == set()


@pytest.mark.parametrize(
    "text",
    [
        "/close",
        "\n/merge\n",
        "x\n\n/assign @me",
        "```\n/close",
        "x\n````\n/close",
        "   ``` \n/close",
        "x ```` y\n/close",
        "```text\n/close\n```",
        *HOSTILE_TEXTS,
    ],
)
def test_no_line_is_a_quick_action_of_gitlab(text: str) -> None:
    body = body_of(text)
    assert not [line for line in lines_outside_of_code(body) if line.lstrip().startswith("/")]
    assert not [line for line in lines_outside_of_code_for_gitlab(body) if line.lstrip().startswith("/")]


def test_a_comment_that_another_user_planted_with_our_marker_is_neither_edited_nor_removed(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        planted = host.say(f"{MARKER}\nAll good, merge me", author=STRANGER)
        assert publish(github_place(host, tmp_path)).written
        assert publish(github_place(host, tmp_path)).written
        assert host.comments[planted] == (STRANGER, f"{MARKER}\nAll good, merge me")
        assert len(host.own_bodies) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_SERVER_URL", "https://evil.example/)[x](https://evil.example"),
        ("GITHUB_RUN_ID", "1) ![x](https://evil.example/p.png"),
        ("GITHUB_SHA", "`@everyone"),
    ],
)
def test_variables_of_the_runner_are_no_markdown(name: str, value: str, tmp_path: Path) -> None:
    with FakeGitHub() as host:
        place = place_from_environment(github_environment(host, tmp_path) | {name: value})
        assert place is not None
        body = comment_body(parts_of(hostile_report("x")), place, Sticky("x"), 65_536)
    assert all(link == RUN for link in links(body))
    assert live_parts(body) == set()


@pytest.mark.parametrize("number", ["7", -1, 0, True, None, 7.5, {"$ref": 1}])
def test_a_number_of_a_pull_request_is_a_number(number: object, tmp_path: Path) -> None:
    import json

    with FakeGitHub() as host:
        environment = github_environment(host, tmp_path)
        (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": number}}))
        place = place_from_environment(environment)
    assert place is not None
    assert place.number is None
