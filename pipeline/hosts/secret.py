"""A token, which nobody can print by accident."""

from __future__ import annotations

from dataclasses import dataclass, field

MASK = "***"
_SHORTEST = 4
"""Shorter text is no token, and to replace it everywhere would make nonsense of what is told."""


@dataclass(frozen=True, slots=True)
class Secret:
    """``revealed`` is the token itself; whatever else is made of a ``Secret`` shows a mask."""

    revealed: str = field(repr=False)

    def __str__(self) -> str:
        return MASK

    def masked_in(self, text: str) -> str:
        """``text`` without the token: an answer of a host, or a proxy's error, may repeat what it was sent."""
        return text.replace(self.revealed, MASK) if len(self.revealed) >= _SHORTEST else text
