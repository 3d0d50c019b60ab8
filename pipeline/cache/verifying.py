"""Reading a whole cache: every receipt, every byte of every blob, each blob once."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.cache.entries import Entry, age_s, read_entries
from pipeline.cache.store import BlobDamaged, BlobMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.cache.blob_set import BlobSet
    from pipeline.cache.receipt import Blob
    from pipeline.cache.store import Store
    from pipeline.digest import Digest

_THREADS_FAR = 8
_THREADS_NEAR = 2
_ENTRIES_AHEAD = 32


@dataclass(frozen=True, slots=True)
class Orphan:
    """A blob that no receipt names."""

    digest: Digest
    size_bytes: int
    age_s: float


def verify_entries(store: Store, *, now_s: float, entries: Iterable[Entry] | None = None) -> Iterator[Entry]:
    """``entries``, or all there are, in their order, with the damage that a reading of their blobs found.

    Several blobs are read at a time, each in pieces, so memory does not grow with their length. Raises ``StoreFailed``.
    """
    pool = ThreadPoolExecutor(_THREADS_FAR if store.far else _THREADS_NEAR, "verify")
    checks, waiting = _Checks(store, pool), deque[Entry]()
    try:
        for entry in read_entries(store, now_s=now_s) if entries is None else entries:
            checks.start(entry.blobs)
            waiting.append(entry)
            if len(waiting) >= _ENTRIES_AHEAD:
                yield checks.judged(waiting.popleft())
        while waiting:
            yield checks.judged(waiting.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def find_orphans(store: Store, named: BlobSet, *, now_s: float) -> Iterator[Orphan]:
    """The blobs that are not in ``named``, in the order of the store. Raises ``StoreFailed``."""
    for digest, stored in store.blobs():
        if digest not in named:
            yield Orphan(digest, stored.size_bytes, age_s(stored.used_s, now_s))


class _Checks:
    """What is wrong with each blob, found out once for all entries that name it with the same length."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        self._store = store
        self._pool = pool
        self._found: dict[tuple[bytes, int], Future[str] | str] = {}

    def start(self, blobs: Iterable[Blob]) -> None:
        for blob in blobs:
            if _content(blob) not in self._found:
                self._found[_content(blob)] = self._pool.submit(_blob_damage, self._store, blob)

    def judged(self, entry: Entry) -> Entry:
        damage = entry.damage
        for blob in entry.blobs:
            found = self._found[_content(blob)]
            if isinstance(found, Future):
                found = self._found[_content(blob)] = found.result()
            damage = damage or (f"{blob.name}: {found}" if found else "")
        return replace(entry, damage=damage) if damage else entry


def _content(blob: Blob) -> tuple[bytes, int]:
    return bytes.fromhex(blob.digest.hex), blob.size_bytes


def _blob_damage(store: Store, blob: Blob) -> str:
    try:
        store.check_blob(blob.digest, blob.size_bytes)
    except (BlobDamaged, BlobMissing) as found:
        return found.reason
    return ""
