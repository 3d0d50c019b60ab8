"""One line of what ``doctor`` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``level`` is ``ok``, ``note`` (something is left out) or ``problem`` (runs will fail)."""

    level: str
    subject: str
    text: str
