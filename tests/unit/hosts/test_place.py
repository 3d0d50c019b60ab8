from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.hosts.place import HostKind, Place, place_from_environment

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "a" * 40


def github(tmp_path: Path, event: Any = None, **changed: str) -> Place | None:
    (tmp_path / "event.json").write_text(json.dumps(event))
    environment = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "team/models",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_RUN_ID": "12",
        "GITHUB_SHA": "f" * 40,
        "GITHUB_TOKEN": "ghs_token",
    }
    return place_from_environment(environment | changed)


def pull(repository: str = "team/models") -> Any:
    return {"pull_request": {"number": 7, "head": {"sha": HEAD, "repo": {"full_name": repository}}}}


def test_elsewhere_there_is_no_place() -> None:
    assert place_from_environment({"GITHUB_REPOSITORY": "team/models"}) is None


def test_a_pull_request_is_read_from_the_event(tmp_path: Path) -> None:
    place = github(tmp_path, pull())
    assert place is not None
    assert (place.kind, place.project, place.number, place.commit) == (HostKind.GITHUB, "team/models", 7, HEAD)
    assert place.run_url == "https://github.com/team/models/actions/runs/12"
    assert (place.api_url, place.fork) == ("https://api.github.com", False)


def test_an_enterprise_server_has_an_api_of_its_own(tmp_path: Path) -> None:
    place = github(tmp_path, pull(), GITHUB_API_URL="https://ghe.example/api/v3")
    assert place is not None
    assert place.api_url == "https://ghe.example/api/v3"


@pytest.mark.parametrize("repository", ["stranger/models", ""])
def test_another_repository_or_one_that_is_gone_is_a_fork(repository: str, tmp_path: Path) -> None:
    place = github(tmp_path, pull(repository))
    assert place is not None
    assert place.fork


def test_a_push_belongs_to_no_pull_request_and_to_no_fork(tmp_path: Path) -> None:
    place = github(tmp_path, {"after": HEAD})
    assert place is not None
    assert (place.number, place.fork, place.commit) == (None, False, "f" * 40)


@pytest.mark.parametrize("event", [None, [], "text", {"pull_request": []}, {"pull_request": {"head": 1}}])
def test_an_event_of_another_form_names_no_pull_request(event: Any, tmp_path: Path) -> None:
    place = github(tmp_path, event)
    assert place is not None
    assert place.number is None


def test_an_event_that_cannot_be_read_names_no_pull_request(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("{")
    for path in (tmp_path / "broken", tmp_path / "none"):
        place = github(tmp_path, pull(), GITHUB_EVENT_PATH=str(path))
        assert place is not None
        assert place.number is None


def test_a_token_that_no_header_can_hold_is_none(tmp_path: Path) -> None:
    for text in ("", "  ", "a\nX-Other: b", "tök"):
        place = github(tmp_path, pull(), GITHUB_TOKEN=text)
        assert place is not None
        assert place.token is None


def test_gitlab_names_its_merge_request_in_variables() -> None:
    place = place_from_environment(
        {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": "https://gitlab.example/api/v4",
            "CI_PROJECT_ID": "9",
            "CI_MERGE_REQUEST_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "9",
            "CI_MERGE_REQUEST_IID": "11",
            "CI_COMMIT_SHA": HEAD,
        }
    )
    assert place is not None
    assert (place.kind, place.project, place.number, place.commit) == (HostKind.GITLAB, "5", 11, HEAD)
    assert (place.fork, place.token, place.subject) == (True, None, "merge request")


def test_a_gitlab_that_does_not_say_where_it_is_has_no_place() -> None:
    assert place_from_environment({"GITLAB_CI": "true", "CI_PROJECT_ID": "9"}) is None
