"""What a cache holds and saves, kind by kind, and what lies in it without use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cache.blob_set import BlobSet
from pipeline.cache.entries import Watch, age_s, read_entries, unwatched
from pipeline.cache.pruning import DEAD_AFTER_S, GRACE_S

if TYPE_CHECKING:
    from pipeline.cache.entries import Entry
    from pipeline.cache.store import Store


@dataclass(slots=True, kw_only=True)
class KindStatistics:
    """The entries of one kind.

    Lengths are in bytes; each blob is counted once, in the kind of the entry that was read first. ``made_in_s`` is how
    long making all of them took, so what a run that finds all of them saves; ``timed`` counts the entries that say so.
    ``oldest`` and ``newest`` are times of making like ``2026-01-31T23:59:59Z``, empty without a sound entry;
    ``unused_s`` is how long the one that was unused for longest has been so.
    """

    kind: str
    entries: int = 0
    damaged: int = 0
    receipts_bytes: int = 0
    blobs: int = 0
    blobs_bytes: int = 0
    made_in_s: float = 0.0
    timed: int = 0
    oldest: str = ""
    newest: str = ""
    unused_s: float = 0.0

    @property
    def size_bytes(self) -> int:
        """Receipts and blobs together."""
        return self.receipts_bytes + self.blobs_bytes

    def add(self, entry: Entry, named: BlobSet) -> None:
        """Count ``entry``, with those of its blobs that are not ``named`` yet."""
        new = named.new(entry.blobs)
        self.entries += 1
        self.receipts_bytes += entry.receipt_bytes
        self.blobs += len(new)
        self.blobs_bytes += sum(blob.size_bytes for blob in new)
        self.unused_s = max(self.unused_s, entry.age_s)
        if entry.damage:
            self.damaged += 1
            return
        self.oldest = min(self.oldest or entry.created, entry.created)
        self.newest = max(self.newest, entry.created)
        if entry.duration_s is not None:
            self.made_in_s += entry.duration_s
            self.timed += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A whole cache.

    ``shared_blobs`` are named by several entries, which saves ``shared_saved_bytes``. Unreachable are blobs that no
    receipt names; ``in_use`` of them were written so lately that a run may be about to name them. ``dead_uploads``
    were begun long ago and never finished; ``dead_bytes`` is their length, ``None`` where the place does not say.
    """

    kinds: tuple[KindStatistics, ...]
    shared_blobs: int
    shared_saved_bytes: int
    unreachable_blobs: int
    unreachable_bytes: int
    unreachable_in_use: int
    dead_uploads: int
    dead_bytes: int | None

    @property
    def size_bytes(self) -> int:
        """Entries and unreachable blobs together."""
        return sum(kind.size_bytes for kind in self.kinds) + self.unreachable_bytes


def statistics(store: Store, *, now_s: float, watch: Watch = unwatched) -> Statistics:
    """Read every receipt and list every blob. Memory grows with the number of blobs alone. Raises ``StoreFailed``."""
    kinds: dict[str, KindStatistics] = {}
    named = BlobSet()
    for entry in watch("reading receipts", read_entries(store, now_s=now_s)):
        kinds.setdefault(entry.kind, KindStatistics(kind=entry.kind)).add(entry, named)
        named.add(entry.blobs)
    unreachable = unreachable_bytes = in_use = 0
    for digest, stored in watch("listing blobs", store.blobs()):
        if digest not in named:
            unreachable += 1
            unreachable_bytes += stored.size_bytes
            in_use += age_s(stored.used_s, now_s) < GRACE_S
    dead = [found.size_bytes for found in store.unfinished() if age_s(found.since_s, now_s) >= DEAD_AFTER_S]
    known = [size_bytes for size_bytes in dead if size_bytes is not None]
    return Statistics(
        kinds=tuple(kinds[kind] for kind in sorted(kinds)),
        shared_blobs=named.shared,
        shared_saved_bytes=named.saved_bytes,
        unreachable_blobs=unreachable,
        unreachable_bytes=unreachable_bytes,
        unreachable_in_use=in_use,
        dead_uploads=len(dead),
        dead_bytes=sum(known) if len(known) == len(dead) else None,
    )
