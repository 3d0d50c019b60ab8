"""Looking after a cache: list its entries, verify every byte, remove what is old, too much or of no use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.cache.receipt import Receipt, ReceiptDamaged, receipt_from_bytes
from pipeline.cache.store import BlobDamaged, BlobMissing

if TYPE_CHECKING:
    from pipeline.cache.store import Store
    from pipeline.digest import Digest

GRACE_S = 3600.0
"""What was written or used more recently may belong to a run in progress, and stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. ``receipt`` is ``None`` where it is damaged; ``damage`` is empty where no fault was found.

    ``size_bytes`` counts the receipt and its blobs, also those that other entries share. ``age_s`` counts from the
    last use.
    """

    kind: str
    key: Digest
    receipt: Receipt | None
    size_bytes: int
    age_s: float
    damage: str = ""

    @property
    def receipt_bytes(self) -> int:
        """The length of the receipt alone."""
        return self.size_bytes - (self.receipt.size_bytes if self.receipt else 0)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A blob that no receipt names."""

    digest: Digest
    size_bytes: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Verified:
    """What a whole reading found. ``damaged`` are those of ``entries`` that must not be used."""

    entries: tuple[Entry, ...]
    orphans: tuple[Orphan, ...]

    @property
    def damaged(self) -> tuple[Entry, ...]:
        """The entries with a fault."""
        return tuple(entry for entry in self.entries if entry.damage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, or would be in a dry run.

    ``freed_bytes`` counts receipts, blobs and temporaries; ``kept_bytes`` is what entries still hold. ``kept_young``
    counts the entries that would have gone but are within the grace period.
    """

    entries: tuple[Entry, ...]
    blobs: tuple[Digest, ...]
    freed_bytes: int
    kept_bytes: int
    kept_young: int
    dry_run: bool


def list_entries(store: Store, *, now_s: float) -> tuple[Entry, ...]:
    """Every entry, sorted by kind and subject; receipts are read, blobs are not. Raises ``StoreFailed``."""
    entries = []
    for kind, key, stored in store.receipts():
        receipt, damage = None, ""
        try:
            data = store.get_receipt(kind, key)
            if data is None:
                continue
            receipt = receipt_from_bytes(data, kind=kind, stored_as=key)
        except ReceiptDamaged as found:
            damage = found.reason
        size_bytes = stored.size_bytes + (receipt.size_bytes if receipt else 0)
        age_s = _age_s(stored.used_s, now_s)
        entries.append(Entry(kind=kind, key=key, receipt=receipt, size_bytes=size_bytes, age_s=age_s, damage=damage))
    return tuple(sorted(entries, key=lambda each: (each.kind, each.receipt.subject if each.receipt else "", each.key)))


def verify_entries(store: Store, *, now_s: float) -> Verified:
    """Read and hash everything, each blob once. Raises ``StoreFailed``."""
    found: dict[tuple[Digest, int], str] = {}
    entries = []
    for entry in list_entries(store, now_s=now_s):
        damage = entry.damage
        for blob in entry.receipt.blobs if entry.receipt else ():
            content = (blob.digest, blob.size_bytes)
            if content not in found:
                found[content] = _blob_damage(store, *content)
            damage = damage or (f"{blob.name}: {found[content]}" if found[content] else "")
        entries.append(replace(entry, damage=damage))
    return Verified(tuple(entries), _orphans(store, {digest for digest, _ in found}, now_s))


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
) -> Pruned:
    """Remove entries and what they alone need. Receipts go before blobs, so no entry is ever seen half-removed.

    Gone are entries unused for ``older_than_s``; then the longest unused until the rest, shared blobs counted once,
    fits ``keep_bytes``; with ``unreachable``, blobs that no receipt names and stale temporaries; with ``damaged``,
    the entries that ``verify_entries`` finds damaged, whatever their age. Anything else that was written or used
    within ``grace_s`` stays, so a run in progress keeps what it has found. Raises ``StoreFailed``.
    """
    entries = verify_entries(store, now_s=now_s).entries if damaged else list_entries(store, now_s=now_s)
    unfit = [entry for entry in entries if damaged and entry.damage]
    wanted = _superfluous([entry for entry in entries if not (damaged and entry.damage)], older_than_s, keep_bytes)
    removed = unfit + [entry for entry in wanted if entry.age_s >= grace_s]
    if dry_run:
        names = {(entry.kind, entry.key) for entry in removed}
        kept = [entry for entry in entries if (entry.kind, entry.key) not in names]
    else:
        for entry in removed:
            store.delete_receipt(entry.kind, entry.key)
        # A run may have stored entries since; their blobs must be known before any blob goes.
        kept = list(list_entries(store, now_s=now_s))
    needed, freed = _blob_sizes(kept), _blob_sizes(removed)
    gone, freed_bytes = [], sum(entry.receipt_bytes for entry in removed)
    for digest, stored in sorted(store.blobs(), key=lambda blob: blob[0]):
        superfluous = digest not in needed and (unreachable or digest in freed)
        if not superfluous or _age_s(stored.used_s, now_s) < grace_s:
            continue
        if dry_run or store.delete_blob(digest, if_written_s=stored.used_s):
            gone.append(digest)
            freed_bytes += stored.size_bytes
    if unreachable and not dry_run:
        freed_bytes += store.sweep(max(grace_s, GRACE_S))
    return Pruned(
        entries=tuple(removed),
        blobs=tuple(gone),
        freed_bytes=freed_bytes,
        kept_bytes=sum(entry.receipt_bytes for entry in kept) + sum(needed.values()),
        kept_young=len(unfit) + len(wanted) - len(removed),
        dry_run=dry_run,
    )


def _superfluous(entries: list[Entry], older_than_s: float | None, keep_bytes: int | None) -> list[Entry]:
    """The entries beyond the limits: from the last used one on, the first that is too much and all after it."""
    superfluous: list[Entry] = []
    held: dict[Digest, int] = {}
    held_bytes = 0
    for entry in sorted(entries, key=lambda each: each.age_s):
        new = {digest: size for digest, size in _blob_sizes([entry]).items() if digest not in held}
        more_bytes = entry.receipt_bytes + sum(new.values())
        too_old = older_than_s is not None and entry.age_s >= older_than_s
        too_much = keep_bytes is not None and held_bytes + more_bytes > keep_bytes
        if superfluous or too_old or too_much:
            superfluous.append(entry)
        else:
            held |= new
            held_bytes += more_bytes
    return superfluous


def _blob_sizes(entries: list[Entry]) -> dict[Digest, int]:
    return {blob.digest: blob.size_bytes for entry in entries if entry.receipt for blob in entry.receipt.blobs}


def _blob_damage(store: Store, digest: Digest, size_bytes: int) -> str:
    try:
        store.check_blob(digest, size_bytes)
    except (BlobDamaged, BlobMissing) as found:
        return found.reason
    return ""


def _orphans(store: Store, named: set[Digest], now_s: float) -> tuple[Orphan, ...]:
    return tuple(
        Orphan(digest, stored.size_bytes, _age_s(stored.used_s, now_s))
        for digest, stored in sorted(store.blobs(), key=lambda blob: blob[0])
        if digest not in named
    )


def _age_s(used_s: float, now_s: float) -> float:
    """Time from the present in either direction: a clock that was wrong once must not make a thing immortal."""
    return abs(now_s - used_s)
