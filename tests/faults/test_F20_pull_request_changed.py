"""F20: the pull request is closed, its comment deleted, or its branch moved on, while a run was at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.hosts.place import place_from_environment
from tests.support.fake_github import FakeGitHub
from tests.support.publications import elapsed, github_environment, github_place, publish

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_of_a_commit_that_the_branch_has_left_writes_nothing(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        host.head = "b" * 40
        done = publish(github_place(host, tmp_path))
        assert not done.written
        assert done.told == (
            "no comment: the pull request has moved on from aaaaaaaaaaaa to bbbbbbbbbbbb, whose own run writes it"
        )
        assert host.comments == {}


def test_figures_of_the_new_commit_are_not_replaced_by_those_of_the_old_one(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        old = github_place(host, tmp_path)
        host.head = "b" * 40
        (tmp_path / "event.json").write_text((tmp_path / "event.json").read_text().replace("a" * 40, "b" * 40))
        new = place_from_environment(host.environment(str(tmp_path / "event.json")))
        assert new is not None
        publish(new, lambda: (elapsed(22.0),))
        publish(old, lambda: (elapsed(11.0),))
        (body,) = host.own_bodies
    assert "22.0 s" in body
    assert f"of commit `{'b' * 40}`" in body


def test_the_comment_names_the_tip_of_the_branch_and_not_the_merge_that_was_built(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        assert github_environment(host, tmp_path)["GITHUB_SHA"] == "f" * 40
        publish(github_place(host, tmp_path))
        assert f"of commit `{'a' * 40}`" in host.own_bodies[0]


def test_a_deleted_comment_is_written_anew(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        publish(github_place(host, tmp_path))
        host.comments.clear()
        assert publish(github_place(host, tmp_path)).written
        assert len(host.own_bodies) == 1


def test_a_comment_that_is_deleted_between_listing_and_editing_is_written_anew(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        publish(github_place(host, tmp_path), lambda: (elapsed(11.0),))
        host.before_reply = [lambda method, _path: host.comments.clear() if method == "PATCH" else None]
        assert publish(github_place(host, tmp_path), lambda: (elapsed(22.0),)).written
        assert [seen.status for seen in host.requests("PATCH")] == [404]
        assert len(host.own_bodies) == 1
        assert "22.0 s" in host.own_bodies[0]


def test_a_closed_pull_request_gets_no_new_comment(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        host.open = False
        assert publish(github_place(host, tmp_path)).told == "no comment: the pull request is closed and has none yet"
        assert host.comments == {}


def test_the_comment_of_a_closed_pull_request_is_brought_up_to_date(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        publish(github_place(host, tmp_path), lambda: (elapsed(11.0),))
        host.open = False
        assert publish(github_place(host, tmp_path), lambda: (elapsed(22.0),)).written
        assert "22.0 s" in host.own_bodies[0]


def test_a_comment_far_down_a_long_conversation_is_found(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        for number in range(230):
            host.say(f"talk {number}", author=1)
        publish(github_place(host, tmp_path), lambda: (elapsed(11.0),))
        publish(github_place(host, tmp_path), lambda: (elapsed(22.0),))
        assert len(host.own_bodies) == 1
