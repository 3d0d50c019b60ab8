"""Which blobs the receipts name, for a hundred thousand entries in some megabytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.cache.receipt import Blob
    from pipeline.digest import Digest


class BlobSet:
    """Blobs that receipts name, each once. About 150 bytes of memory for each.

    ``size_bytes`` is their length; ``shared`` counts those that several entries name, and ``saved_bytes`` is what
    keeping these once saves.
    """

    def __init__(self) -> None:
        self._named: dict[bytes, bool] = {}
        self.size_bytes = 0
        self.shared = 0
        self.saved_bytes = 0

    def __len__(self) -> int:
        return len(self._named)

    def __contains__(self, digest: Digest) -> bool:
        return bytes.fromhex(digest.hex) in self._named

    def new(self, blobs: Iterable[Blob]) -> tuple[Blob, ...]:
        """Those of ``blobs`` that are not here yet, each once."""
        return tuple({blob.digest: blob for blob in blobs if blob.digest not in self}.values())

    def add(self, blobs: Iterable[Blob]) -> None:
        """Take note of the blobs of one entry."""
        for blob in {blob.digest: blob for blob in blobs}.values():
            name = bytes.fromhex(blob.digest.hex)
            shared = self._named.get(name)
            if shared is None:
                self._named[name] = False
                self.size_bytes += blob.size_bytes
                continue
            self._named[name] = True
            self.shared += not shared
            self.saved_bytes += blob.size_bytes
