"""What the stages use of the cache: look up by key, fetch what was found, commit what was made.

The cache is optional, its integrity is not. A store that fails costs a rebuild and a warning; after a few failures,
or when they have cost enough time, it is left alone for the rest of the run, and at once where there is no use in
trying again. A store that may only be read is only read. An entry that is not exactly what it should be is rejected
aloud, never used, and replaced by the next commit of its key.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.cache.expiry import expired
from pipeline.cache.neighbours import Neighbours
from pipeline.cache.receipt import Blob, Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.store import BlobDamaged, BlobMissing, DestinationFailed, Extent, StoreFailed
from pipeline.digest import digest_from_file
from pipeline.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping
    from pathlib import Path

    from pipeline.cache.expiry import Expiry
    from pipeline.cache.store import Store
    from pipeline.digest import Digest
    from pipeline.keys import Difference, Key

_FAILURES_UNTIL_OFF = 3
_FAILURE_BUDGET_S = 60.0
"""How long the failing calls of a run may take together, a second counted once however many threads spend it."""

_DIFFERENCES_SHOWN = 4
_COMMIT_ATTEMPTS = 5


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
        if store is None and required:
            raise CacheError("a cache is required and none is given", fix="name one with --cache FOLDER")
        self._store = store
        self._required = required
        self._expiry = expiry
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_s = 0.0
        self._failed_until_s = float("-inf")
        self._trouble = ""
        self._read_only = ""
        self._off = "no cache was given" if store is None else ""
        self._rejected: dict[Digest, Receipt] = {}
        self._neighbours = Neighbours(store) if store is not None else None

    @property
    def trouble(self) -> str:
        """What went wrong with the store in this run, once for the user to read; empty where nothing did."""
        return self._trouble

    def lookup(self, key: Key, subject: str, *, explain: bool = True) -> CacheLookup:
        """What the store holds for ``key``; ``subject`` is whose earlier entries a miss is compared with.

        Without ``explain`` a miss is compared with nothing, which costs less.
        A far store is asked one question, for the receipt; a file of it that is gone is then found by ``fetch``.
        """
        store = self._store
        if store is None or self._off:
            return Off(self._off)
        started_s = self._monotonic()
        try:
            receipt = _stored_receipt(store, key)
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
            return self._reject(damage.reason)
        except StoreFailed as failure:
            return self._fail(failure, started_s)
        return Hit(receipt)

    def stored(self, kind: str, digest: Digest) -> Hit | None:
        """The sound entry under a key of which only the digest is known; its receipt has the key itself."""
        store = self._store
        if store is None or self._off:
            return None
        started_s = self._monotonic()
        try:
            data = store.get_receipt(kind, digest)
            receipt = None if data is None else receipt_from_bytes(data, kind=kind, stored_as=digest)
            return None if receipt is None or expired(self._expiry, receipt) else Hit(receipt)
        except ReceiptDamaged:
            return None
        except StoreFailed as failure:
            self._fail(failure, started_s)
            return None

    def appeared(self, key: Key) -> Hit | None:
        """A sound entry of ``key`` that was stored since it was looked up; the store is asked anew."""
        store = self._store
        if store is None or self._off:
            return None
        started_s = self._monotonic()
        try:
            receipt = _stored_receipt(store, key)
        except ReceiptDamaged:
            return None
        except StoreFailed as failure:
            self._fail(failure, started_s)
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
        store = self._store
        if store is None or self._off:
            return Miss(self._off, hit.receipt)
        too_old = expired(self._expiry, hit.receipt)
        if too_old:
            return Miss(too_old, hit.receipt)
        fetched: list[Path] = []
        result: Miss | Rejected
        started_s = self._monotonic()
        try:
            for blob in hit.receipt.blobs:
                if only is None or blob.name in only:
                    store.fetch_blob(blob.digest, blob.size_bytes, folder / blob.name)
                    fetched.append(folder / blob.name)
            return tuple(fetched)
        except BlobMissing:
            result = Miss("a file of it is gone from the cache", hit.receipt)
        except BlobDamaged as damage:
            result = self._reject(damage.reason)
        except DestinationFailed as failure:
            result = Miss(failure.reason, hit.receipt)
        except StoreFailed as failure:
            result = self._fail(failure, started_s)
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
        store = self._store
        if store is None or self._off or self._read_only:
            return Committed(self._receipt(key, subject, _hashed(files), metadata), Commit.UNSTORED)
        started_s = self._monotonic()
        try:
            blobs = [Blob(name, *store.put_blob(path)) for name, path in sorted(files.items())]
            return self._stand(store, self._receipt(key, subject, blobs, metadata))
        except StoreFailed as failure:
            reason = self._fail(failure, started_s).reason
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
                theirs = _stored_receipt(store, key)
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
        nearest = self._neighbours.nearest(key, subject) if self._neighbours else None
        if nearest is None:
            return Miss("never built before")
        differences = key.differences(nearest.key)
        shown = [str(difference) for difference in differences[:_DIFFERENCES_SHOWN]]
        if len(differences) > _DIFFERENCES_SHOWN:
            shown.append(f"and {len(differences) - _DIFFERENCES_SHOWN} more")
        return Miss(f"changed: {', '.join(shown)}", nearest, differences)

    def _reject(self, reason: str) -> Rejected:
        if self._required:
            raise CacheError(
                f"an entry of the cache {self._store} is not usable", why=reason, fix="remove it with `cache prune`"
            )
        return Rejected(reason)

    def _fail(self, failure: StoreFailed, started_s: float) -> Miss:
        """Count a failure of a call that began at ``started_s``; close the cache where it is of no more use."""
        if self._required:
            raise CacheError(f"the cache {self._store} failed", why=failure.reason, fix=failure.fix) from failure
        told = f"{failure.reason}; {failure.fix}" if failure.fix else failure.reason
        with self._lock:
            ended_s = self._monotonic()
            self._failed_s += max(0.0, ended_s - max(started_s, self._failed_until_s))
            self._failed_until_s = max(self._failed_until_s, ended_s)
            if failure.extent is Extent.WRITES:
                self._read_only = f"the cache is only read: {told}"
                self._trouble = self._trouble or self._read_only
                return Miss(self._read_only)
            self._failures += 1
            if not self._off:
                self._off = self._closing_reason(failure, told)
            self._trouble = self._off or self._trouble or f"the cache failed: {told}"
            return Miss(self._off or f"the cache failed: {failure.reason}")

    def _closing_reason(self, failure: StoreFailed, told: str) -> str:
        """Why the cache is asked nothing more; empty where it still is."""
        if failure.extent is Extent.PLACE:
            return f"the cache is left alone: {told}"
        if self._failures >= _FAILURES_UNTIL_OFF:
            return f"the cache failed {self._failures} times and is left alone: {told}"
        if self._failed_s >= _FAILURE_BUDGET_S:
            return f"the cache cost {self._failed_s:.0f} s in vain and is left alone: {told}"
        return ""


def _stored_receipt(store: Store, key: Key) -> Receipt | None:
    """The receipt of ``key``, the only way by which one is believed. Raises ``ReceiptDamaged``, ``StoreFailed``."""
    data = store.get_receipt(key.kind, key.digest)
    return None if data is None else receipt_from_bytes(data, kind=key.kind, stored_as=key.digest)


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
