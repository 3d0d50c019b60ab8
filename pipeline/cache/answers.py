"""What the cache answers: what it has under a key, and what became of a commit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.cache.receipt import Receipt
    from pipeline.keys import Difference, Key

_DIFFERENCES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Hit:
    """A sound receipt was found, and its files are there with the right lengths."""

    receipt: Receipt

    @property
    def reason(self) -> str:
        """Why it is a hit."""
        return f"every ingredient is the same; made {self.receipt.created}"


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing usable is there. ``nearest`` is the entry most like it, ``differences`` lead from that to this key."""

    reason: str
    nearest: Receipt | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def previous_s(self) -> float | None:
        """How long the nearest entry took to make, in seconds, where that is known."""
        return self.nearest.duration_s if self.nearest is not None else None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something is there and must not be used."""

    reason: str


@dataclass(frozen=True, slots=True)
class Off:
    """No cache is asked any more, or none was given."""

    reason: str


CacheLookup = Hit | Miss | Rejected | Off


def previous_s_from_lookup(lookup: CacheLookup) -> float | None:
    """How long the same job, or the one most like it, took last time; ``None`` where nothing is recorded."""
    if isinstance(lookup, Hit):
        return lookup.receipt.duration_s
    return lookup.previous_s if isinstance(lookup, Miss) else None


class Commit(Enum):
    """What became of a commit."""

    STORED = "stored"
    ADOPTED = "adopted"
    """Another run had stored the key; its files were checked, and its receipt stands."""
    REPLACED = "replaced"
    """What was stored under the key was not usable, and is now replaced."""
    UNSTORED = "unstored"
    """The store is off, failed, or cannot hold it; the files are as good as ever."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The receipt that stands after a commit.

    ``own_files`` says whether it names the very bytes that were offered; where it does not (``ADOPTED``), the
    stored ones can be had by ``ContentCache.fetch(Hit(receipt), ...)``. ``warnings`` are for the user.
    """

    receipt: Receipt
    outcome: Commit
    own_files: bool = True
    warnings: tuple[str, ...] = ()


def miss_from_nearest(key: Key, nearest: Receipt | None) -> Miss:
    """The miss of ``key`` that says what changed since ``nearest``, the entry most like it."""
    if nearest is None:
        return Miss("never built before")
    differences = key.differences(nearest.key)
    shown = [str(difference) for difference in differences[:_DIFFERENCES_SHOWN]]
    if len(differences) > _DIFFERENCES_SHOWN:
        shown.append(f"and {len(differences) - _DIFFERENCES_SHOWN} more")
    return Miss(f"changed: {', '.join(shown)}", nearest, differences)
