"""What the comment needs of a host, and what a host can answer: the protocol that GitHub and GitLab stand behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class HostError(Exception):
    """The host did not do what it was asked. ``reason`` is a phrase for the user, ``fix`` how to mend it."""

    def __init__(self, reason: str, *, fix: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


class Forbidden(HostError):  # noqa: N818  named after the answer
    """The token may not do this, or there is none."""


class Missing(HostError):  # noqa: N818
    """What was asked for is not there, or not for this token."""


class TooLong(HostError):  # noqa: N818
    """The text is longer than the host takes."""


class Unclear(HostError):  # noqa: N818
    """Something new was to be made, and nobody knows whether it was. Look before trying again."""


class OutOfTime(HostError):  # noqa: N818
    """The host wants a longer wait than there is time for, or the run was cancelled."""


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment. A larger ``id`` is of a later comment; ``own`` says that it was written with this very token."""

    id: int
    own: bool
    body: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a pull request stands: ``head`` is the commit that its branch is at now."""

    open: bool
    head: str


class Conversation(Protocol):
    """The comments of one pull request. Every method raises ``HostError``, of the kinds named above."""

    @property
    def limit_bytes(self) -> int:
        """The longest text that is surely taken, in bytes of UTF-8, which no way of counting characters exceeds."""

    def standing(self) -> Standing:
        """How the pull request stands now."""

    def comments(self) -> Iterable[Comment]:
        """Every comment, those of others among them."""

    def create(self, body: str) -> int:
        """Write a comment and return its id. Raises ``Unclear`` where it may have been written all the same."""

    def edit(self, comment: int, body: str) -> None:
        """Replace a comment's text. Raises ``Missing`` where it was deleted."""

    def delete(self, comment: int) -> None:
        """Remove a comment; one that is gone already is no error."""
