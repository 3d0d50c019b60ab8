"""TensorRT's timing caches in the run's store: what earlier builds timed, so that later ones need not.

There is one entry for each TensorRT version, GPU product and driver in each scope. Unlike other entries it moves: what
a build adds replaces it. A run reads those of every scope that it may read, once, when it first builds something they
are for, and writes its own scope's. Whatever fails costs a slower build, never the run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.build.timing_cache import SUFFIX, TACTICS_FILE
from pipeline.cache.expiry import expired
from pipeline.cache.receipt import Blob, Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.store import BlobMissing, Extent, StoreError, StoreFailed
from pipeline.digest import digest_from_bytes
from pipeline.keys import key_from_ingredients
from pipeline.paths import write_bytes_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.cache.expiry import Expiry
    from pipeline.cache.store import Store
    from pipeline.digest import Digest
    from pipeline.keys import Key
    from pipeline.machine.devices import GpuDevice

KIND = "timing"
_ATTEMPTS = 5
_MOST_OTHERS = 64
"""How many files that other runs added meanwhile stay in an entry; each run that begins merges all that are there."""


def timing_key(version: str, gpu: str, driver: str) -> Key:
    """The entry of a TensorRT version, an NVML product name and a driver version: what a timing cache is bound to."""
    return key_from_ingredients(KIND, {"runtime.version": version, "timing.gpu": gpu, "timing.driver": driver})


class TimingCaches:
    """The timing caches of one run. Safe to use from many threads.

    ``stores`` are one for each scope that the run may read, its own the last; none may give what it read before of an
    entry that has moved since. ``scratch`` is where this run's copies lie.
    """

    def __init__(self, stores: Sequence[Store], scratch: Path, *, expiry: Expiry | None = None) -> None:
        self._standing = _Standing()
        self._stores = tuple(stores)
        self._scratch = scratch
        self._expiry = expiry
        self._lock = threading.Lock()
        self._caches: dict[Digest, TimingCache] = {}

    @property
    def trouble(self) -> str:
        """What went wrong with them in this run, once for the user to read; empty where nothing did."""
        return self._standing.trouble

    def of(self, version: str, gpu: GpuDevice) -> TimingCache:
        """That of TensorRT ``version`` on GPUs of the product and under the driver of ``gpu``."""
        key = timing_key(version, gpu.name, gpu.driver)
        with self._lock:
            if key.digest not in self._caches:
                self._caches[key.digest] = TimingCache(
                    key,
                    f"TensorRT {version} on {gpu.name}",
                    stores=self._stores,
                    folder=self._scratch / key.digest.hex,
                    expiry=self._expiry,
                    standing=self._standing,
                )
            return self._caches[key.digest]


class TimingCache:
    """The timing cache of one key in one run: a folder of files that builds load and merge, and its entries."""

    def __init__(
        self,
        key: Key,
        subject: str,
        *,
        stores: tuple[Store, ...],
        folder: Path,
        expiry: Expiry | None,
        standing: _Standing,
    ) -> None:
        self._key = key
        self._subject = subject
        self._stores = stores
        self._folder = folder
        self._expiry = expiry
        self._standing = standing
        self._lock = threading.Lock()
        self._fetched = False
        self._merged: set[Digest] = set()
        """The files that the records of this run's builds have in them, or that are of no use."""
        self._records: dict[str, Blob] = {}
        self._made: list[str] = []

    def folder(self) -> Path:
        """The folder of files for a build to load, in the order of their names: where two differ, the first counts.

        What is kept is fetched by the first call. The trusted scope's comes first, so that a pull request's builds
        choose what the trusted branch's chose.
        """
        with self._lock:
            if not self._fetched:
                self._fetched = True
                self._folder.mkdir(parents=True, exist_ok=True)
                for position, store in enumerate(self._stores):
                    self._fetch(store, position)
        return self._folder

    def keep(self, built: Path, gpu: str) -> None:
        """Make the record that a build on the GPU of UUID ``gpu`` left in ``built`` this run's, and store it.

        A record is what the build loaded and what it added. Nothing is stored where it added nothing.
        """
        with self._lock, self._standing.watched("not kept"):
            path = built / TACTICS_FILE
            if not path.is_file():
                return
            data = path.read_bytes()
            digest = digest_from_bytes(data)
            if digest in self._merged:
                return
            self._merged.add(digest)
            record = self._folder / f"{len(self._stores)}-{gpu}{SUFFIX}"
            write_bytes_atomically(record, data)
            if not self._standing.off:
                store = self._stores[-1]
                stored, size_bytes = store.put_blob(record)
                self._records[gpu] = _blob(stored, size_bytes)
                self._replace(store)

    def _fetch(self, store: Store, position: int) -> None:
        receipt = None
        with self._standing.watched("not used"):
            receipt = None if self._standing.off else self._receipt_in(store)
        if receipt is None:
            return
        self._made.append(receipt.created)
        if store is self._stores[-1]:
            store.mark_used(KIND, self._key.digest)
        for blob in receipt.blobs:
            if not self._standing.off and blob.digest not in self._merged:
                self._merged.add(blob.digest)
                name = f"{position}-{blob.digest.hex}{SUFFIX}"
                with self._standing.watched("not used"), contextlib.suppress(BlobMissing):
                    store.fetch_blob(blob.digest, blob.size_bytes, self._folder / name)

    def _replace(self, store: Store) -> None:
        """Put this run's records in the place of what is there, with what others added since. The last writer wins."""
        for _ in range(_ATTEMPTS):
            try:
                theirs = self._receipt_in(store)
            except ReceiptDamaged:
                theirs = None
            others = [blob for blob in theirs.blobs if blob.digest not in self._merged] if theirs else []
            data = bytes_from_receipt(self._receipt(others[:_MOST_OTHERS], [theirs.created] if theirs else []))
            if store.put_receipt(KIND, self._key.digest, data, replace=True):
                return

    def _receipt_in(self, store: Store) -> Receipt | None:
        """The entry that is there and has not expired. Raises ``ReceiptDamaged``, ``StoreFailed``."""
        data = store.get_receipt(KIND, self._key.digest)
        receipt = receipt_from_bytes(data, kind=KIND, stored_as=self._key.digest) if data is not None else None
        return None if receipt is None or expired(self._expiry, receipt) else receipt

    def _receipt(self, others: Sequence[Blob], others_made: Sequence[str]) -> Receipt:
        """A receipt that is as old as the oldest part of what it names, so that no part outlives its expiry."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        named = {blob.digest: _blob(blob.digest, blob.size_bytes) for blob in (*others, *self._records.values())}
        return Receipt(
            key=self._key,
            subject=self._subject,
            blobs=tuple(sorted(named.values(), key=lambda blob: blob.name)),
            metadata={},
            created=min([now, *self._made, *others_made]),
            tool=__version__,
        )


class _Standing:
    """Whether the stores are still asked for timing caches, and what to say of them. Safe to use from many threads."""

    def __init__(self) -> None:
        self.off = False
        self.trouble = ""

    @contextlib.contextmanager
    def watched(self, otherwise: str) -> Iterator[None]:
        """Let nothing that fails in the block reach the build. A store that failed is asked no more in this run.

        The cache itself says where a place cannot be had or written at all, which it finds out too.
        """
        try:
            yield
        except StoreFailed as failure:
            self.off = True
            if failure.extent is Extent.CALL:
                self._say(otherwise, failure.reason)
        except (StoreError, ReceiptDamaged) as damage:
            self._say(otherwise, damage.reason)
        except OSError as error:
            self._say(otherwise, str(error))

    def _say(self, otherwise: str, reason: str) -> None:
        self.trouble = self.trouble or f"a timing cache of TensorRT was {otherwise}, which costs time alone: {reason}"


def _blob(digest: Digest, size_bytes: int) -> Blob:
    return Blob(f"{digest.hex}{SUFFIX}", digest, size_bytes)
