"""Where a run belongs on its host, as the runner tells it: the pull request, the commit, the link, the token.

The variables are those of docs.github.com/actions/reference/workflows-and-actions/variables and
docs.gitlab.com/ci/variables/predefined_variables. On GitHub the event's file alone knows the commit of the pull
request: ``GITHUB_SHA`` is of a merge that nobody has made.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.hosts.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_URL = re.compile(r"https?://[A-Za-z0-9._~:/%@+-]{1,500}")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_EVENT_LIMIT_BYTES = 32 << 20


class HostKind(str, Enum):
    """Whose API it is."""

    GITHUB = "GitHub"
    GITLAB = "GitLab"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run belongs.

    ``project`` is ``owner/name`` on GitHub and a number on GitLab. ``number`` is of the pull or merge request, ``None``
    for a run of a branch. ``commit`` is the tip of its branch, empty where it is not known. ``run_url`` leads a reader
    to the run, or is empty. ``fork`` says that the branch is of another repository, so that the token may only read.
    """

    kind: HostKind
    api_url: str
    project: str
    number: int | None
    commit: str
    run_url: str
    fork: bool
    token: Secret | None
    graphql_url: str = ""

    @property
    def subject(self) -> str:
        """What the comment is written on, as its host calls it."""
        return "pull request" if self.kind is HostKind.GITHUB else "merge request"


def place_from_environment(environment: Mapping[str, str]) -> Place | None:
    """The place of a run that GitHub Actions or GitLab CI has started, ``None`` for any other run."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return _on_github(environment)
    if environment.get("GITLAB_CI") == "true":
        return _on_gitlab(environment)
    return None


def _on_github(environment: Mapping[str, str]) -> Place | None:
    repository = environment.get("GITHUB_REPOSITORY", "")
    if not _REPOSITORY.fullmatch(repository):
        return None
    pull = _object(_event(environment.get("GITHUB_EVENT_PATH")), "pull_request")
    head = _object(pull, "head")
    number, commit = pull.get("number"), head.get("sha")
    server, run = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_RUN_ID", "")
    return Place(
        kind=HostKind.GITHUB,
        api_url=_url(environment.get("GITHUB_API_URL")) or "https://api.github.com",
        graphql_url=_url(environment.get("GITHUB_GRAPHQL_URL")) or "https://api.github.com/graphql",
        project=repository,
        number=number if type(number) is int and number > 0 else None,
        commit=_commit(commit if isinstance(commit, str) else environment.get("GITHUB_SHA")),
        run_url=_url(f"{server}/{repository}/actions/runs/{run}") if run.isdecimal() else "",
        fork=bool(pull) and _object(head, "repo").get("full_name") != repository,
        token=_token(environment.get("GITHUB_TOKEN")),
    )


def _on_gitlab(environment: Mapping[str, str]) -> Place | None:
    own = environment.get("CI_PROJECT_ID", "")
    project = environment.get("CI_MERGE_REQUEST_PROJECT_ID") or own
    api_url = _url(environment.get("CI_API_V4_URL"))
    if not project.isdecimal() or not api_url:
        return None
    number = environment.get("CI_MERGE_REQUEST_IID", "")
    source = environment.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID") or project
    return Place(
        kind=HostKind.GITLAB,
        api_url=api_url,
        project=project,
        number=int(number) if number.isdecimal() else None,
        # A pipeline for merged results runs on a merge that nobody has made, and names the branch's tip beside it.
        commit=_commit(environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environment.get("CI_COMMIT_SHA")),
        run_url=_url(environment.get("CI_PIPELINE_URL")),
        fork=source != project,
        token=_token(environment.get("GITLAB_TOKEN")),
    )


def _event(path: str | None) -> dict[str, Any]:
    """What started the workflow; empty where that cannot be read."""
    try:
        with Path(path or "").open("rb") as file:
            value = json.loads(file.read(_EVENT_LIMIT_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _object(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _commit(text: str | None) -> str:
    return text if text and _COMMIT.fullmatch(text) else ""


def _url(text: str | None) -> str:
    """A URL that means nothing but itself in Markdown, else nothing."""
    return text if text and _URL.fullmatch(text) else ""


def _token(text: str | None) -> Secret | None:
    """A header takes neither line breaks nor text beyond ASCII, so a token that has any is none."""
    stripped = (text or "").strip()
    return Secret(stripped) if stripped and stripped.isascii() and stripped.isprintable() else None
