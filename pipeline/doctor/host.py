"""What ``doctor`` says of the host: whether its API answers, whose token the run has, what that may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.doctor.finding import Finding
from pipeline.hosts.conversation import Forbidden, HostError, Missing
from pipeline.hosts.patience import Patience
from pipeline.hosts.place import HostKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.hosts.github import GitHubConversation
    from pipeline.hosts.gitlab import GitLabConversation
    from pipeline.hosts.place import Place

_BUDGET_S = 20.0


def host_findings(place: Place | None, patience: Patience | None = None) -> Iterator[Finding]:
    """Nothing outside of GitHub Actions and GitLab CI. Never a problem: runs do not need the host."""
    if place is None:
        return
    subject = str(place.kind)
    if place.token is None:
        needed = "the input `github-token`" if place.kind is HostKind.GITHUB else "the variable GITLAB_TOKEN"
        yield Finding("note", subject, f"no token, so no comment can be written: give {needed}")
        return
    conversation = _conversation(place, patience or Patience(_BUDGET_S))
    try:
        yield Finding("ok", subject, f"{place.api_url} answers; the token is that of {conversation.login()}")
        scopes = conversation.scopes()
        if scopes and "api" not in scopes:
            yield Finding("note", subject, f"the token's scopes are {', '.join(scopes)}: comments want `api`")
        if place.number is None:
            yield Finding("note", subject, f"this run belongs to no {place.subject}, so there is nothing to comment on")
            return
        conversation.standing()
        right = "" if scopes else "; to write, it needs `permissions: pull-requests: write`"
        yield Finding("ok", subject, f"the token reads {place.subject} {place.number}{right}")
    except (Forbidden, Missing) as error:
        yield Finding("note", subject, f"the token may not do what comments want: {error.reason}")
    except HostError as error:
        yield Finding("note", subject, f"no comment can be written: {error.reason}")


def _conversation(place: Place, patience: Patience) -> GitHubConversation | GitLabConversation:
    from pipeline.hosts.github import GitHubConversation
    from pipeline.hosts.gitlab import GitLabConversation

    assert place.token is not None  # noqa: S101  the caller has looked
    opened = GitHubConversation if place.kind is HostKind.GITHUB else GitLabConversation
    return opened(place, place.token, patience)
