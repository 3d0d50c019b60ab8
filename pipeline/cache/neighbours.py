"""The entry that is most like a key that was not found, so that a miss can say what changed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline.cache.receipt import Receipt, ReceiptDamaged, receipt_from_bytes
from pipeline.cache.store import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cache.store import Store
    from pipeline.digest import Digest
    from pipeline.keys import Key

_MOST_READ = 2000
_MOST_READ_FAR = 200
"""What a far store is asked for, each a request, to say why a key was not found."""

_READERS = 16


class Neighbours:
    """The receipts of a store, read at most once per kind. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._reading: dict[str, threading.Lock] = {}
        self._known: dict[str, tuple[Receipt, ...]] = {}
        self._unreadable = False

    def nearest(self, key: Key, subject: str) -> Receipt | None:
        """The entry of the same kind and subject with the fewest differing ingredients, the newest of equals.

        Only the most recently used entries are considered. Raises ``StoreFailed`` at the first failure; from then on
        nothing is read, and there is no entry.
        """
        found = [receipt for receipt in self._receipts(key.kind) if receipt.subject == subject]
        newest_first = sorted(found, key=lambda receipt: receipt.created, reverse=True)
        return min(newest_first, key=lambda receipt: len(key.differences(receipt.key)), default=None)

    def learn(self, receipt: Receipt) -> None:
        """Take note of an entry that was stored just now."""
        kind = receipt.key.kind
        with self._lock:
            if kind in self._known:
                others = tuple(other for other in self._known[kind] if other.key != receipt.key)
                self._known[kind] = (receipt, *others)

    def _receipts(self, kind: str) -> tuple[Receipt, ...]:
        with self._lock:
            reading = self._reading.setdefault(kind, threading.Lock())
        with reading:
            with self._lock:
                known = self._known.get(kind)
                unreadable = self._unreadable
            if known is not None or unreadable:
                return known or ()
            try:
                found = tuple(self._read(kind))
            except StoreFailed:
                with self._lock:
                    self._unreadable = True
                raise
            with self._lock:
                self._known[kind] = found
            return found

    def _read(self, kind: str) -> Iterator[Receipt]:
        far = self._store.far
        listed = sorted(self._store.receipts(kind), key=lambda entry: entry[2].used_s, reverse=True)
        keys = [key for _, key, _ in listed[: _MOST_READ_FAR if far else _MOST_READ]]
        with ThreadPoolExecutor(_READERS if far else 1) as pool:
            for receipt in pool.map(lambda key: self._sound_receipt(kind, key), keys):
                if receipt is not None:
                    yield receipt

    def _sound_receipt(self, kind: str, key: Digest) -> Receipt | None:
        """A damaged receipt is no neighbour; whoever asks for its key, or verifies the cache, is told."""
        try:
            data = self._store.get_receipt(kind, key)
            return None if data is None else receipt_from_bytes(data, kind=kind, stored_as=key)
        except ReceiptDamaged:
            return None
