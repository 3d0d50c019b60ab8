"""One comment that stays one: found by its author and a hidden marker, edited in place, written anew where it is gone.

Nothing is written twice. A comment that may have been written is looked for before another is; where two runs wrote one
at the same moment, each of them keeps the older and removes the other.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.digest import digest_from_bytes
from pipeline.hosts.conversation import Forbidden, HostError, Missing, Unclear

if TYPE_CHECKING:
    from pipeline.hosts.conversation import Comment, Conversation
    from pipeline.hosts.patience import Patience

_ATTEMPTS = 6
_SETTLING_S = 2.0
"""How long a host may take to list what it has just taken."""


@dataclass(frozen=True, slots=True)
class Sticky:
    """Which comment it is: one for each manifest of a repository."""

    manifest: str

    @property
    def marker(self) -> str:
        """How its text begins; an HTML comment, which no reader sees."""
        digest = digest_from_bytes(self.manifest.encode("utf-8", "surrogatepass"))
        return f"<!-- tensorrt-engine-action manifest={digest.hex[:16]} "

    def first_line(self, commit: str) -> str:
        """The whole hidden line, which also tells which commit the text is of."""
        return f"{self.marker}commit={commit} -->"

    def owns(self, comment: Comment) -> bool:
        """By author and marker both: anybody can write the marker."""
        return comment.own and comment.body.startswith(self.marker)


def upsert(
    conversation: Conversation, sticky: Sticky, body: str, patience: Patience, *, create: bool = True
) -> int | None:
    """Make ``body`` the one comment's text. Returns its id, ``None`` where there is none and ``create`` is false.

    Raises ``HostError``.
    """
    written: int | None = None
    for _ in range(_ATTEMPTS):
        own = sorted((each for each in conversation.comments() if sticky.owns(each)), key=lambda each: each.id)
        for surplus in own[1:]:
            # Another run may be removing it too, and one that stays is removed by the next.
            with contextlib.suppress(Missing, Forbidden):
                conversation.delete(surplus.id)
        if own:
            if own[0].body == body:
                return own[0].id
            with contextlib.suppress(Missing):
                conversation.edit(own[0].id, body)
                return own[0].id
        elif not create or written is not None:
            return written  # what was taken and is not yet listed is there all the same
        else:
            try:
                written = conversation.create(body)
            except Unclear as error:
                patience.wait(_SETTLING_S, error.reason)
    raise HostError("the comment comes and goes")
