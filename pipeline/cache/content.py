"""What the stages use of the cache: look up by key, fetch what was found, commit what was made.

The cache is optional, its integrity is not. A store that fails costs a rebuild and a warning; after a few failures,
or when they have cost enough time, it is left alone for the rest of the run, and at once where there is no use in
trying again. A store that may only be read is only read. An entry that is not exactly what it should be is rejected
aloud, never used, and replaced by the next commit of its key.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.cache.answers import Commit, Committed, Hit, Miss, Off, Rejected, miss_from_nearest
from pipeline.cache.expiry import expired
from pipeline.cache.guard import StoreGuard
from pipeline.cache.neighbours import Neighbours
from pipeline.cache.receipt import Blob, Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.store import BlobDamaged, BlobMissing, DestinationFailed, StoreFailed
from pipeline.digest import digest_from_file

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping
    from pathlib import Path

    from pipeline.cache.answers import CacheLookup
    from pipeline.cache.expiry import Expiry
    from pipeline.cache.store import Store
    from pipeline.digest import Digest
    from pipeline.keys import Key

_COMMIT_ATTEMPTS = 5


class ContentCache:
    """The cache of one run; safe to use from many threads.

    ``store`` is ``None`` where no cache was given. With ``required``, whatever would cost only a rebuild (no store,
    a failing store, a damaged entry) raises ``CacheError`` instead. Entries that ``expiry`` finds too old are
    missed, and replaced. ``now`` gives seconds since the epoch, ``monotonic`` seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        store: Store | None,
        *,
        required: bool = False,
        expiry: Expiry | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guard = StoreGuard(store, required=required, monotonic=monotonic)
        self._expiry = expiry
        self._now = now
        self._lock = threading.Lock()
        self._rejected: dict[Digest, Receipt] = {}
        self._neighbours = Neighbours(store) if store is not None else None

    @property
    def trouble(self) -> str:
        """What went wrong with the store in this run, once for the user to read; empty where nothing did."""
        return self._guard.trouble

    @property
    def is_read(self) -> bool:
        """Whether anything can still be fetched in this run, as far as it is known."""
        return self._guard.to_read is not None

    @property
    def is_written(self) -> bool:
        """Whether anything can still be kept in this run, as far as it is known."""
        return self._guard.to_write is not None

    def lookup(self, key: Key, subject: str, *, explain: bool = True) -> CacheLookup:
        """What the store holds for ``key``; ``subject`` is whose earlier entries a miss is compared with.

        Without ``explain`` a miss is compared with nothing, which costs less.
        A far store is asked one question, for the receipt; a file of it that is gone is then found by ``fetch``.
        """
        store = self._guard.to_read
        if store is None:
            return Off(self._guard.off)
        started_s = self._guard.now_s()
        try:
            receipt = _stored_receipt(store, key.kind, key.digest)
            if receipt is None:
                return self._miss(key, subject) if explain else Miss("nothing is kept")
            too_old = expired(self._expiry, receipt)
            if too_old:
                return Miss(too_old, receipt)
            gone = None if store.far else _missing_file(store, receipt)
            if gone is not None:
                return Miss(f"its file {gone} is gone from the cache", receipt)
            store.mark_used(key.kind, key.digest)
        except (ReceiptDamaged, BlobDamaged) as damage:
            return self._rejected_for(damage)
        except StoreFailed as failure:
            return Miss(self._guard.failed(failure, started_s))
        return Hit(receipt)

    def stored(self, kind: str, digest: Digest) -> Hit | None:
        """The sound entry under a key of which only the digest is known; its receipt has the key itself."""
        store = self._guard.to_read
        if store is None:
            return None
        started_s = self._guard.now_s()
        try:
            receipt = _stored_receipt(store, kind, digest)
            return None if receipt is None or expired(self._expiry, receipt) else Hit(receipt)
        except ReceiptDamaged:
            return None
        except StoreFailed as failure:
            self._guard.failed(failure, started_s)
            return None

    def appeared(self, key: Key) -> Hit | None:
        """A sound entry of ``key`` that was stored since it was looked up; the store is asked anew."""
        store = self._guard.to_read
        if store is None:
            return None
        started_s = self._guard.now_s()
        try:
            receipt = _stored_receipt(store, key.kind, key.digest)
        except ReceiptDamaged:
            return None
        except StoreFailed as failure:
            self._guard.failed(failure, started_s)
            return None
        with self._lock:
            unfit = self._rejected.get(key.digest)
        useless = receipt is None or receipt == unfit or expired(self._expiry, receipt)
        return None if receipt is None or useless else Hit(receipt)

    def fetch(
        self, hit: Hit, folder: Path, *, only: Container[str] | None = None
    ) -> tuple[Path, ...] | Miss | Rejected:
        """Copy the files of ``hit``, or those named in ``only``, to ``folder``, verified; all of them or none.

        They keep their names; ``folder`` is made where needed. The paths come in the order of ``hit.receipt.blobs``.
        """
        store = self._guard.to_read
        if store is None:
            return Miss(self._guard.off, hit.receipt)
        too_old = expired(self._expiry, hit.receipt)
        if too_old:
            return Miss(too_old, hit.receipt)
        fetched: list[Path] = []
        result: Miss | Rejected
        started_s = self._guard.now_s()
        try:
            for blob in hit.receipt.blobs:
                if only is None or blob.name in only:
                    store.fetch_blob(blob.digest, blob.size_bytes, folder / blob.name)
                    fetched.append(folder / blob.name)
            return tuple(fetched)
        except BlobMissing:
            result = Miss("a file of it is gone from the cache", hit.receipt)
        except BlobDamaged as damage:
            result = self._rejected_for(damage)
        except DestinationFailed as failure:
            result = Miss(failure.reason, hit.receipt)
        except StoreFailed as failure:
            result = Miss(self._guard.failed(failure, started_s))
        for path in fetched:
            path.unlink(missing_ok=True)
        return result

    def reject(self, hit: Hit) -> None:
        """Say that the files of ``hit`` are as stored and yet unfit, so that the next commit replaces the entry."""
        with self._lock:
            self._rejected[hit.receipt.key.digest] = hit.receipt

    def commit(self, key: Key, subject: str, files: Mapping[str, Path], metadata: Mapping[str, Any]) -> Committed:
        """Store ``files`` (plain file name -> path) under ``key``, blobs first, receipt last.

        ``metadata`` is a JSON object; ``duration_s`` in it says how long the work took. Raises ``OSError`` where
        one of ``files`` cannot be read, ``CacheError`` where the cache is required and fails.
        """
        store = self._guard.to_write
        if store is None:
            return Committed(self._receipt(key, subject, _hashed(files), metadata), Commit.UNSTORED)
        started_s = self._guard.now_s()
        try:
            blobs = [Blob(name, *store.put_blob(path)) for name, path in sorted(files.items())]
            return self._stand(store, self._receipt(key, subject, blobs, metadata))
        except StoreFailed as failure:
            reason = self._guard.failed(failure, started_s)
        except (ValueError, TypeError) as error:
            reason = f"{key.kind} of {subject} was not cached: {error}"
        receipt = self._receipt(key, subject, _hashed(files), metadata)
        return Committed(receipt, Commit.UNSTORED, warnings=(reason,))

    def _stand(self, store: Store, own: Receipt) -> Committed:
        """Make ``own`` the receipt of its key, or find that a sound one stands there already."""
        key, data = own.key, bytes_from_receipt(own)
        for _ in range(_COMMIT_ATTEMPTS):
            if store.put_receipt(key.kind, key.digest, data, replace=False):
                return self._settle(own, Commit.STORED)
            try:
                theirs = _stored_receipt(store, key.kind, key.digest)
                if theirs is None:
                    continue
                with self._lock:
                    unfit = self._rejected.get(key.digest) == theirs
                if expired(self._expiry, theirs):
                    reason = ""  # The plan has told it already.
                elif unfit:
                    reason = "it was unfit"
                else:
                    for blob in theirs.blobs:
                        store.check_blob(blob.digest, blob.size_bytes)
                    return Committed(theirs, Commit.ADOPTED, theirs.blobs == own.blobs)
            except (ReceiptDamaged, BlobDamaged, BlobMissing) as damage:
                reason = damage.reason
            if store.put_receipt(key.kind, key.digest, data, replace=True):
                warning = f"the cached {key.kind} of {own.subject} was replaced: {reason}"
                return self._settle(own, Commit.REPLACED, *([warning] if reason else []))
        raise StoreFailed(f"the receipt of {key.kind} {key.digest} comes and goes")

    def _settle(self, own: Receipt, outcome: Commit, *warnings: str) -> Committed:
        if self._neighbours:
            self._neighbours.learn(own)
        return Committed(own, outcome, warnings=warnings)

    def _receipt(self, key: Key, subject: str, blobs: Iterable[Blob], metadata: Mapping[str, Any]) -> Receipt:
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now()))
        return Receipt(
            key=key, subject=subject, blobs=tuple(blobs), metadata=dict(metadata), created=created, tool=__version__
        )

    def _miss(self, key: Key, subject: str) -> Miss:
        """A miss that says what changed. Where that cannot be found out, the place itself is as good as before."""
        try:
            return miss_from_nearest(key, self._neighbours.nearest(key, subject) if self._neighbours else None)
        except StoreFailed as failure:
            self._guard.note(
                f"the cache cannot be listed, so why something was not found is not told: {failure.reason}"
            )
            return Miss(f"nothing is kept, and what changed cannot be told: {failure.reason}")

    def _rejected_for(self, damage: ReceiptDamaged | BlobDamaged) -> Rejected:
        self._guard.damaged(damage.reason)
        return Rejected(damage.reason)


def _stored_receipt(store: Store, kind: str, digest: Digest) -> Receipt | None:
    """The receipt of a key, the only way by which one is believed. Raises ``ReceiptDamaged``, ``StoreFailed``."""
    data = store.get_receipt(kind, digest)
    return None if data is None else receipt_from_bytes(data, kind=kind, stored_as=digest)


def _missing_file(store: Store, receipt: Receipt) -> str | None:
    """The first of its files that is not there. Raises ``BlobDamaged`` where one has the wrong length."""
    for blob in receipt.blobs:
        size_bytes = store.blob_size(blob.digest)
        if size_bytes is None:
            return blob.name
        if size_bytes != blob.size_bytes:
            raise BlobDamaged(f"{blob.name} has {size_bytes} bytes instead of {blob.size_bytes}")
    return None


def _hashed(files: Mapping[str, Path]) -> list[Blob]:
    return [Blob(name, digest_from_file(path), path.stat().st_size) for name, path in sorted(files.items())]
