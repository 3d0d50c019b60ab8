"""From the parts of a report to the one comment: render, write, read back, and again where a part arrived meanwhile.

So of many runs that publish at once, the last to write has seen every part. A run of a commit that its branch has left
writes nothing: its figures would pass for those of the new one.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import PublishError
from pipeline.hosts.conversation import Forbidden, HostError, TooLong
from pipeline.hosts.place import HostKind
from pipeline.hosts.sticky import Sticky, upsert
from pipeline.publish.markdown import MINIMUM_BYTES, markdown_from_report
from pipeline.publish.parts import merged

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.hosts.conversation import Conversation
    from pipeline.hosts.patience import Patience
    from pipeline.hosts.place import Place
    from pipeline.publish.parts import Parts

_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Published:
    """What became of it. ``told`` is a sentence for the log; ``written`` says that the comment is there now."""

    written: bool
    told: str


def published(place: Place | None, manifest: str, read: Callable[[], Parts], patience: Patience) -> Published:
    """Publish what ``read`` gives as the comment of ``manifest``.

    Nothing is written, and that is no error, where the run belongs to no pull request or to a commit that is not its
    tip. Raises ``PublishError`` for everything else that keeps the comment from being written.
    """
    if place is None:
        return Published(written=False, told="no comment: this is no run of GitHub Actions or GitLab CI")
    if place.number is None:
        return Published(written=False, told=f"no comment: this run belongs to no {place.subject}")
    conversation = _conversation(place, patience)
    try:
        return _published(conversation, place, Sticky(manifest), read, patience)
    except HostError as error:
        raise _unpublished(place, error) from error


def comment_body(parts: Parts, place: Place, sticky: Sticky, limit_bytes: int) -> str:
    """The comment's text: at most ``limit_bytes`` of UTF-8, the verdict first, commit and link always there."""
    first = sticky.first_line(place.commit)
    link = f"[The run with its full report]({place.run_url}), of" if place.run_url else "Of"
    last = f"{link} commit `{place.commit}`."
    room_bytes = limit_bytes - len(f"{first}\n\n\n{last}\n".encode())
    text = markdown_from_report(merged(parts.reports), room_bytes, details=parts.details)
    return f"{first}\n{text}\n{last}\n"


def _conversation(place: Place, patience: Patience) -> Conversation:
    from pipeline.hosts.github import GitHubConversation
    from pipeline.hosts.gitlab import GitLabConversation

    if place.token is None:
        raise _unpublished(place, Forbidden("the run was given no token"))
    opened = GitHubConversation if place.kind is HostKind.GITHUB else GitLabConversation
    return opened(place, place.token, patience)


def _published(
    conversation: Conversation,
    place: Place,
    sticky: Sticky,
    read: Callable[[], Parts],
    patience: Patience,
) -> Published:
    for _ in range(_ROUNDS):
        standing = conversation.standing()
        if standing.head != place.commit:
            told = f"no comment: the {place.subject} has moved on from {place.commit[:12] or 'this run'}"
            return Published(written=False, told=f"{told} to {standing.head[:12]}, whose own run writes it")
        parts = read()
        comment = _put(conversation, place, sticky, parts, patience, create=standing.open)
        if comment is None:
            return Published(written=False, told=f"no comment: the {place.subject} is closed and has none yet")
        if read() == parts:
            return Published(written=True, told=f"the comment on {place.subject} {place.number} is up to date")
    raise HostError("parts of the report kept arriving while it was written")


def _put(
    conversation: Conversation, place: Place, sticky: Sticky, parts: Parts, patience: Patience, *, create: bool
) -> int | None:
    """Write the comment, shorter each time that the host finds it too long."""
    limit_bytes = conversation.limit_bytes
    while limit_bytes >= 2 * MINIMUM_BYTES:
        body = comment_body(parts, place, sticky, limit_bytes)
        with contextlib.suppress(TooLong):
            return upsert(conversation, sticky, body, patience, create=create)
        limit_bytes //= 2
    raise TooLong(f"{place.kind} takes no text of {2 * limit_bytes} bytes")


def _unpublished(place: Place, error: HostError) -> PublishError:
    fix = error.fix
    if isinstance(error, Forbidden):
        fix = _how_to_get_it(place)
    return PublishError(f"the comment on {place.subject} {place.number} was not written", why=error.reason, fix=fix)


def _how_to_get_it(place: Place) -> str:
    if place.kind is HostKind.GITLAB:
        return (
            "set the CI/CD variable GITLAB_TOKEN to a project access token with the scope `api` and the role Reporter"
        )
    if place.fork:
        return (
            "a pull request from a fork has no right to it: "
            "somebody who may write pushes its branch to this repository to get one"
        )
    return "give the job `permissions: pull-requests: write`, and the step the token as `github-token`"
