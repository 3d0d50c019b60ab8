"""The protocol of a place that keeps blobs and receipts, and the laws that every such place obeys.

1. A blob's name is the digest of its bytes. Nobody believes the name: each read hashes the bytes that it hands over.
2. A receipt's name is the digest of its key. Blobs are stored before the receipt that names them, so an entry is
   either whole or invisible.
3. Nothing is seen half-written, whenever a process dies. Of many writers that create one receipt, one wins.
4. Stored bytes never change in place; they are replaced as a whole or removed.
5. Whatever the place is like, a method does what it says or raises one of the errors below, never an ``OSError``
   from the place. Only ``StoreFailed`` speaks of the place as a whole; the others speak of one entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.digest import Digest

_REPLACE_ATTEMPTS = 5


class StoreError(Exception):
    """Something that a store could not do; ``reason`` is a phrase for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Extent(Enum):
    """How much of a place a failure speaks of."""

    CALL = "call"
    """This call failed; the next one may not."""
    WRITES = "writes"
    """Nothing can be written, and there is no use in trying again. Reading may well work."""
    PLACE = "place"
    """Nothing can be had of the place, and there is no use in trying again."""


class StoreFailed(StoreError):  # noqa: N818 - named after the finding
    """The place cannot be read or written: no permission, no space, no answer. ``fix`` says how to mend it."""

    def __init__(self, reason: str, *, fix: str = "", extent: Extent = Extent.CALL) -> None:
        super().__init__(reason)
        self.fix = fix
        self.extent = extent


class BlobMissing(StoreError):  # noqa: N818
    """No blob of that digest is there."""


class BlobDamaged(StoreError):  # noqa: N818
    """What is there has another digest or another length, or is no regular file."""


class DestinationFailed(StoreError):  # noqa: N818
    """The blob was being read, and the caller's own file could not be written."""


@dataclass(frozen=True, slots=True)
class StoredStat:
    """A stored thing. ``used_s`` is seconds since the epoch: when it was written or, for a receipt, last used."""

    size_bytes: int
    used_s: float


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Something that is being written, or was when its process died.

    ``size_bytes`` is ``None`` where the place does not say; ``since_s`` is seconds since the epoch.
    """

    size_bytes: int | None
    since_s: float


class Store(Protocol):
    """A place for blobs and receipts. Safe to use from many threads and many processes at once.

    ``far`` says that each question costs a round trip, so that nobody asks for the length of each blob beforehand.
    """

    @property
    def far(self) -> bool:
        """See the class."""

    @property
    def use_lag_s(self) -> float:
        """By how much a receipt may have been used later than ``StoredStat.used_s`` says."""

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        """The bytes of a receipt, cut off beyond ``RECEIPT_LIMIT_BYTES + 1``, or ``None`` where there is none.

        Raises ``ReceiptDamaged`` where something else than bytes lies there, ``StoreFailed``.
        """

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        """Store a receipt; all or nothing. Raises ``StoreFailed``.

        Without ``replace``, ``False`` says that something is there already, and nothing was changed. With it, what
        was there is gone. But a place that can tell answers ``False``, and changes nothing, where it is not what was
        read there last; the next try is then about what is there now. See ``replace_receipt``.
        """

    def mark_used(self, kind: str, key: Digest) -> None:
        """Note that a receipt was of use just now. A place that cannot note it does nothing; never raises."""

    def delete_receipt(self, kind: str, key: Digest) -> None:
        """Remove a receipt, or whatever lies in its place; removing nothing is fine. Raises ``StoreFailed``."""

    def receipts(self, kind: str | None = None) -> Iterator[tuple[str, Digest, StoredStat]]:
        """Every receipt of ``kind``, or of all kinds, in no order; not opened, so not known to be sound.

        Raises ``StoreFailed``.
        """

    def put_blob(self, path: Path) -> tuple[Digest, int]:
        """Store the bytes of ``path``, and say their digest and length.

        The blob's age starts anew. Damage heals: a near place replaces what is there, a far one sends the bytes
        again only where their length is wrong or it found the blob damaged before. Raises ``StoreFailed``;
        ``OSError`` where ``path`` cannot be read.
        """

    def fetch_blob(self, digest: Digest, size_bytes: int, destination: Path) -> None:
        """Copy a blob to ``destination``, hashing what is copied; the name appears when every byte was right.

        The copy shares no storage with the blob, so that an edit of it cannot reach the store; it is not synced to
        the disk, since it can be fetched again. The folder of ``destination`` is made where needed. Raises
        ``BlobMissing``, ``BlobDamaged``, ``DestinationFailed``, ``StoreFailed``.
        """

    def check_blob(self, digest: Digest, size_bytes: int) -> None:
        """Hash a blob where it lies. Raises ``BlobMissing``, ``BlobDamaged``, ``StoreFailed``."""

    def blob_size(self, digest: Digest) -> int | None:
        """A blob's length in bytes without reading it, ``None`` where there is none.

        Raises ``BlobDamaged`` where it is no regular file, ``StoreFailed``.
        """

    def delete_blob(self, digest: Digest, *, if_written_s: float) -> bool:
        """Remove a blob unless it was written anew since it was listed with ``used_s == if_written_s``.

        Its time is read again at the last moment. Says whether it was removed. Raises ``StoreFailed``.
        """

    def blobs(self) -> Iterator[tuple[Digest, StoredStat]]:
        """Every blob, in no order, not known to be sound. Raises ``StoreFailed``."""

    def unfinished(self) -> Iterator[Unfinished]:
        """What is being written, and what dead processes left half-written. Raises ``StoreFailed``."""

    def sweep(self, older_than_s: float) -> int:
        """Remove what dead processes left behind, if untouched for ``older_than_s``; returns how many bytes.

        Raises ``StoreFailed``.
        """


def replace_receipt(store: Store, kind: str, key: Digest, data: bytes) -> None:
    """Put a receipt in the place of whatever is there. Raises ``StoreFailed``."""
    for _ in range(_REPLACE_ATTEMPTS):
        if store.put_receipt(kind, key, data, replace=True):
            return
    raise StoreFailed(f"other runs write receipt {key} again and again")
