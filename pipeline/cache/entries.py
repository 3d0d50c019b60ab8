"""The entries of a cache, one after the other: as many as there may be, only a few are in memory at a time.

Names come from the store in pages. Receipts are read by some threads ahead of whoever asks for the next entry.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline.cache.receipt import Blob, ReceiptDamaged, receipt_from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from pipeline.cache.store import Store, StoredStat
    from pipeline.digest import Digest

_READERS_FAR = 16
_READERS_NEAR = 2
_AHEAD = 4
"""How many receipts may wait for each reader, so that a slow one does not keep the others idle."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, without its ingredients, so that many fit in memory.

    ``subject``, ``created``, ``duration_s`` and ``blobs`` are empty where the receipt is damaged; ``damage`` is empty
    where no fault was found. ``age_s`` counts from the last use.
    """

    kind: str
    key: Digest
    receipt_bytes: int
    age_s: float
    subject: str = ""
    created: str = ""
    duration_s: float | None = None
    blobs: tuple[Blob, ...] = ()
    damage: str = ""

    @property
    def size_bytes(self) -> int:
        """The length of the receipt and its blobs, also of those that other entries share."""
        return self.receipt_bytes + sum(blob.size_bytes for blob in self.blobs)


class Watch(Protocol):
    """Hands ``items`` on and shows how many there were; ``label`` reads like ``reading receipts``."""

    def __call__(self, label: str, items: Iterable[_Item], /) -> Iterator[_Item]:
        """See the class."""


def unwatched(_label: str, items: Iterable[_Item]) -> Iterator[_Item]:
    """Hand ``items`` on and show nothing; a ``Watch``."""
    return iter(items)


def read_entries(
    store: Store, *, now_s: float, listed: Iterable[tuple[str, Digest, StoredStat]] | None = None
) -> Iterator[Entry]:
    """The entries of the receipts that were ``listed``, or of all, in that order; blobs are not read.

    ``now_s`` is seconds since the epoch. An entry that goes meanwhile is left out. Raises ``StoreFailed``.
    """

    def read(one: tuple[str, Digest, StoredStat]) -> Entry | None:
        kind, key, stored = one
        entry = Entry(kind=kind, key=key, receipt_bytes=stored.size_bytes, age_s=age_s(stored.used_s, now_s))
        try:
            data = store.get_receipt(kind, key)
            if data is None:
                return None
            receipt = receipt_from_bytes(data, kind=kind, stored_as=key)
        except ReceiptDamaged as damage:
            return replace(entry, damage=damage.reason)
        return replace(
            entry,
            subject=receipt.subject,
            created=receipt.created,
            duration_s=receipt.duration_s,
            blobs=receipt.blobs,
        )

    names = store.receipts() if listed is None else listed
    for entry in read_ahead(read, names, threads=_READERS_FAR if store.far else _READERS_NEAR):
        if entry is not None:
            yield entry


def read_ahead(read: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int) -> Iterator[_Result]:
    """``read`` of each of ``items``, in their order, in ``threads`` threads; the first error is raised.

    A few results for each thread are there at a time. Nothing is begun any more where the caller stops.
    """
    waiting: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(threads, "read-ahead")
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) >= threads * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def age_s(used_s: float, now_s: float) -> float:
    """Time from the present in either direction: a clock that was wrong once must not make a thing immortal."""
    return abs(now_s - used_s)
