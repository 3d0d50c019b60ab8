"""A near store in front of a far one: what was fetched or made once is read from near by.

The far store decides. A receipt is created there first, and nothing is kept near that was refused there. The near
store is a copy: it may lose anything, fail, be damaged, or bear a seal that is no longer right, and then the far one
is asked. Every blob is hashed on its way from either. Whoever may write the near folder is trusted as whoever may
write the far place, unless receipts bear a seal that it cannot make; so runs of different trust must not share one.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cache.expiry import expired
from pipeline.cache.receipt import ReceiptDamaged, receipt_from_bytes
from pipeline.cache.seal import Sealing
from pipeline.cache.store import BlobDamaged, BlobMissing, DestinationFailed, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cache.expiry import Expiry
    from pipeline.cache.store import Store, StoredStat, Unfinished
    from pipeline.digest import Digest


class TieredStore:
    """``near_store`` in front of ``far_store``; listing and upkeep are the far one's. See ``Store`` for the methods.

    By ``sealing`` receipts lie sealed in both, and come back bare.
    """

    far = True

    def __init__(
        self, near_store: Store, far_store: Store, *, sealing: Sealing | None = None, expiry: Expiry | None = None
    ) -> None:
        self._near = near_store
        self._far = far_store
        self._sealing = sealing or Sealing("", None)
        self._expiry = expiry

    @property
    def use_lag_s(self) -> float:
        """See ``Store``."""
        return self._far.use_lag_s

    def __str__(self) -> str:
        return f"{self._far} (kept in {self._near})"

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        """See ``Store``."""
        near = self._near_receipt(kind, key)
        if near is not None:
            return near
        data = self._far.get_receipt(kind, key)
        if data is None:
            return None
        body = self._sealing.opened(kind, key, data)
        with contextlib.suppress(StoreFailed):
            self._near.put_receipt(kind, key, data, replace=True)
        return body

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        """See ``Store``."""
        data = self._sealing.sealed(kind, key, data)
        created = self._far.put_receipt(kind, key, data, replace=replace)
        with contextlib.suppress(StoreFailed):
            if created:
                self._near.put_receipt(kind, key, data, replace=True)
            else:
                self._near.delete_receipt(kind, key)
        return created

    def mark_used(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._near.mark_used(kind, key)
        self._far.mark_used(kind, key)

    def delete_receipt(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._far.delete_receipt(kind, key)
        with contextlib.suppress(StoreFailed):
            self._near.delete_receipt(kind, key)

    def receipts(self, kind: str | None = None) -> Iterator[tuple[str, Digest, StoredStat]]:
        """See ``Store``."""
        return self._far.receipts(kind)

    def put_blob(self, path: Path) -> tuple[Digest, int]:
        """See ``Store``."""
        stored = self._far.put_blob(path)
        self._keep(path)
        return stored

    def fetch_blob(self, digest: Digest, size_bytes: int, destination: Path) -> None:
        """See ``Store``."""
        with contextlib.suppress(BlobMissing, BlobDamaged, StoreFailed):
            self._near.fetch_blob(digest, size_bytes, destination)
            return
        self._far.fetch_blob(digest, size_bytes, destination)
        self._keep(destination)

    def check_blob(self, digest: Digest, size_bytes: int) -> None:
        """See ``Store``. What had to be read to its end is kept, since it will be wanted."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / digest.hex
                self._far.fetch_blob(digest, size_bytes, path)
                self._keep(path)
        except (OSError, DestinationFailed):
            self._far.check_blob(digest, size_bytes)

    def blob_size(self, digest: Digest) -> int | None:
        """See ``Store``."""
        return self._far.blob_size(digest)

    def delete_blob(self, digest: Digest, *, if_written_s: float) -> bool:
        """See ``Store``. The near copy stays; it is pruned with the near folder."""
        return self._far.delete_blob(digest, if_written_s=if_written_s)

    def blobs(self) -> Iterator[tuple[Digest, StoredStat]]:
        """See ``Store``."""
        return self._far.blobs()

    def unfinished(self) -> Iterator[Unfinished]:
        """See ``Store``."""
        return self._far.unfinished()

    def sweep(self, older_than_s: float) -> int:
        """See ``Store``."""
        return self._far.sweep(older_than_s)

    def _near_receipt(self, kind: str, key: Digest) -> bytes | None:
        """The near copy where it is sound and not too old; else there is as good as none, for the far one is there."""
        try:
            data = self._near.get_receipt(kind, key)
            if data is None:
                return None
            body = self._sealing.opened(kind, key, data)
            receipt = receipt_from_bytes(body, kind=kind, stored_as=key)
        except (ReceiptDamaged, StoreFailed):
            return None
        return None if expired(self._expiry, receipt) else body

    def _keep(self, path: Path) -> None:
        with contextlib.suppress(StoreFailed, OSError):
            self._near.put_blob(path)
