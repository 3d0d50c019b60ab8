"""Removing what is old, too much, damaged or of no use, under the feet of any number of runs.

Receipts go before blobs, so no entry is ever seen half-removed. What a run in progress has found or stored stays: a
receipt that was used lately, even while the rest was being read; a blob that was written lately; and every blob that a
receipt names which is there when the last receipt has gone. What goes all the same is a miss to whoever asks for it,
and is made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cache.blob_set import BlobSet
from pipeline.cache.entries import Entry, Watch, age_s, read_entries, unwatched
from pipeline.cache.verifying import verify_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.cache.store import Store, StoredStat
    from pipeline.digest import Digest

GRACE_S = 3600.0
"""What was written or used more recently may belong to a run in progress, and stays."""

DEAD_AFTER_S = 86400.0
"""What is unfinished for longer belongs to a dead run: a large engine may take hours to send over a slow line, and S3
tells only when that began; a lease of the longest term is renewed more often."""

_SETTLED_S = 60.0
"""A receipt may be replaced within the second in which it was written, and look the same in a listing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, or would be in a dry run.

    ``freed_bytes`` counts receipts, blobs and temporaries; ``kept_bytes`` is what entries still hold. ``kept_young``
    counts the entries that would have gone but may be in use, or were used or replaced while the rest was read.
    """

    entries: tuple[Entry, ...]
    blobs: tuple[Digest, ...]
    freed_bytes: int
    kept_bytes: int
    kept_young: int
    dry_run: bool


def prune(
    store: Store,
    *,
    now_s: float,
    older_than_s: float | None = None,
    keep_bytes: int | None = None,
    unreachable: bool = True,
    damaged: bool = False,
    dry_run: bool = False,
    grace_s: float = GRACE_S,
    watch: Watch = unwatched,
) -> Pruned:
    """Remove entries and what they alone need.

    Gone are entries unused for ``older_than_s``; then the longest unused until the rest, shared blobs counted once,
    fits ``keep_bytes``; with ``unreachable``, blobs that no receipt names and stale temporaries; with ``damaged``,
    the entries that a full reading finds damaged, whatever their age. Anything else that may have been written or used
    within ``grace_s`` stays; 0 says that nobody else is at work. Memory grows by less than a kilobyte for each entry.
    Raises ``StoreFailed``.
    """
    entries = list(_read(store, now_s, damaged, watch))
    unfit = [entry for entry in entries if damaged and entry.damage]
    wanted = _superfluous([entry for entry in entries if not (damaged and entry.damage)], older_than_s, keep_bytes)
    spared_s = grace_s + store.use_lag_s if grace_s else 0.0
    removed = unfit + [entry for entry in wanted if entry.age_s >= spared_s]
    if removed and not dry_run:
        # To read everything may take hours; what a run has used or replaced meanwhile is its own.
        removed = _unchanged(store, removed, now_s, watch)
    if dry_run:
        names = {(entry.kind, entry.key) for entry in removed}
        kept: Iterable[Entry] = (entry for entry in entries if (entry.kind, entry.key) not in names)
    else:
        for entry in watch("removing entries", removed):
            store.delete_receipt(entry.kind, entry.key)
        # A run may have stored entries since; their blobs must be known before any blob goes.
        kept = watch("looking for new entries", _there_now(store, entries, now_s, max(grace_s, _SETTLED_S)))
    needed, freed, kept_bytes = BlobSet(), BlobSet(), 0
    for entry in kept:
        needed.add(entry.blobs)
        kept_bytes += entry.receipt_bytes
    for entry in removed:
        freed.add(entry.blobs)
    gone, freed_bytes = [], sum(entry.receipt_bytes for entry in removed)
    for digest, stored in watch("looking through blobs", store.blobs()):
        superfluous = digest not in needed and (unreachable or digest in freed)
        if not superfluous or age_s(stored.used_s, now_s) < grace_s:
            continue
        if dry_run or store.delete_blob(digest, if_written_s=stored.used_s):
            gone.append(digest)
            freed_bytes += stored.size_bytes
    if unreachable and not dry_run:
        freed_bytes += store.sweep(max(grace_s, DEAD_AFTER_S))
    return Pruned(
        entries=tuple(removed),
        blobs=tuple(gone),
        freed_bytes=freed_bytes,
        kept_bytes=kept_bytes + needed.size_bytes,
        kept_young=len(unfit) + len(wanted) - len(removed),
        dry_run=dry_run,
    )


def _read(store: Store, now_s: float, damaged: bool, watch: Watch) -> Iterator[Entry]:
    entries = read_entries(store, now_s=now_s)
    if not damaged:
        return watch("reading receipts", entries)
    return watch("reading entries", verify_entries(store, now_s=now_s, entries=entries))


def _unchanged(store: Store, entries: list[Entry], now_s: float, watch: Watch) -> list[Entry]:
    """Those of ``entries`` whose receipts are still as they were read: of that length, and not used since."""
    there = {}
    wanted = {(entry.kind, entry.key) for entry in entries}
    for kind, key, stored in watch("looking for entries in use", store.receipts()):
        if (kind, key) in wanted:
            there[kind, key] = (stored.size_bytes, age_s(stored.used_s, now_s))
    return [entry for entry in entries if there.get((entry.kind, entry.key)) == (entry.receipt_bytes, entry.age_s)]


def _there_now(store: Store, before: list[Entry], now_s: float, settled_s: float) -> Iterator[Entry]:
    """The entries that are there by now; only receipts that are not as ``before`` are read again."""
    known = {(entry.kind, entry.key): entry for entry in before}
    same: list[Entry] = []

    def changed() -> Iterator[tuple[str, Digest, StoredStat]]:
        for kind, key, stored in store.receipts():
            entry, age = known.get((kind, key)), age_s(stored.used_s, now_s)
            if entry and age >= settled_s and (entry.receipt_bytes, entry.age_s) == (stored.size_bytes, age):
                same.append(entry)
            else:
                yield kind, key, stored

    yield from read_entries(store, now_s=now_s, listed=changed())
    yield from same


def _superfluous(entries: list[Entry], older_than_s: float | None, keep_bytes: int | None) -> list[Entry]:
    """The entries beyond the limits: from the last used one on, the first that is too much and all after it."""
    superfluous: list[Entry] = []
    held, receipts_bytes = BlobSet(), 0
    for entry in sorted(entries, key=lambda each: each.age_s):
        more_bytes = entry.receipt_bytes + sum(blob.size_bytes for blob in held.new(entry.blobs))
        too_old = older_than_s is not None and entry.age_s >= older_than_s
        too_much = keep_bytes is not None and held.size_bytes + receipts_bytes + more_bytes > keep_bytes
        if superfluous or too_old or too_much:
            superfluous.append(entry)
        else:
            held.add(entry.blobs)
            receipts_bytes += entry.receipt_bytes
    return superfluous
