"""A store in a bucket, safe for concurrent runs on many machines and for processes that die at any moment.

    <prefix>/v1/<scope>/blob/sha256/<aa>/<hex>
    <prefix>/v1/<scope>/receipt/<kind>/<aa>/<hex>.json

A name appears when its bytes are complete, because S3 shows no object before. A receipt is created with
``If-None-Match: *``, so of many writers one wins.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline.cache.lease import remove_stale_leases
from pipeline.cache.receipt import RECEIPT_LIMIT_BYTES
from pipeline.cache.s3_download import Source, download, stream
from pipeline.cache.s3_objects import S3Objects
from pipeline.cache.s3_upload import Upload, abort_stale_uploads
from pipeline.cache.store import BlobDamaged, DestinationFailed, Extent, StoredStat, StoreFailed, Unfinished
from pipeline.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from pipeline.cache.s3_bucket import S3Bucket

_TRANSFERS = 8
_HASH_BYTES = 1 << 20
_COPY_LIMIT_BYTES = 5 << 30
"""The largest object that ``CopyObject`` takes (Amazon S3 API Reference)."""

_BLOB = re.compile(r"sha256/(?P<shard>[0-9a-f]{2})/(?P<hex>(?P=shard)[0-9a-f]{62})")
_RECEIPT = re.compile(r"(?P<kind>[a-z0-9-]+)/(?P<shard>[0-9a-f]{2})/(?P<hex>(?P=shard)[0-9a-f]{62})\.json")


class S3Store:
    """The store of ``scope`` (like ``trusted`` or ``pr/1234/7``) in ``bucket``. See ``Store`` for the methods.

    S3 keeps no time of use. So a receipt that is used, and a blob that is stored again, is copied onto itself when it
    is older than ``renew_receipt_s`` or ``renew_blob_s``, which starts its age anew; no bytes are sent. ``use_lag_s``
    is how much older than its last use a receipt may look by that.
    """

    far = True

    def __init__(
        self,
        bucket: S3Bucket,
        scope: str,
        *,
        renew_receipt_s: float = 86400.0,
        renew_blob_s: float = 900.0,
        transfers: int = _TRANSFERS,
    ) -> None:
        self._bucket = bucket
        self._objects = S3Objects(bucket)
        self.root = bucket.address.root(scope)
        self._name = f"s3://{bucket.address.bucket}/{self.root}".rstrip("/")
        self.use_lag_s = renew_receipt_s
        self._renew_blob_s = renew_blob_s
        self._transfers = transfers
        self._pool = ThreadPoolExecutor(transfers, "s3-transfer")
        self._lock = threading.Lock()
        self._damaged: set[Digest] = set()

    def __str__(self) -> str:
        return self._name

    def close(self) -> None:
        """End the threads that transfer. The store must not be used afterwards."""
        self._pool.shutdown()

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        """See ``Store``."""
        return self._objects.read(self._receipt_name(kind, key), RECEIPT_LIMIT_BYTES)

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        """See ``Store``."""
        return self._objects.write(self._receipt_name(kind, key), data, replace=replace)

    def mark_used(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._objects.renew_read(self._receipt_name(kind, key), self.use_lag_s)

    def delete_receipt(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._objects.delete(self._receipt_name(kind, key))

    def receipts(self, kind: str | None = None) -> Iterator[tuple[str, Digest, StoredStat]]:
        """See ``Store``."""
        below = f"{kind}/" if kind is not None else ""
        for match, stored in self._objects.listed(f"{self.root}receipt/", below, _RECEIPT):
            yield match["kind"], Digest("sha256", match["hex"]), stored

    def put_blob(self, path: Path) -> tuple[Digest, int]:
        """See ``Store``. The file is read once to find its name; it is sent only where nobody has it yet."""
        with path.open("rb", buffering=0) as file:
            before = _state(file)
            digest, size_bytes = _digest_from_file(file)
            name = self._blob_name(digest)
            with self._lock:
                known_damaged = digest in self._damaged
            if known_damaged or not self._adopted(name, size_bytes):
                Upload(self._bucket, name, file, size_bytes).send(self._pool)
            if _state(file) != before:
                with self._lock:
                    self._damaged.add(digest)
                raise StoreFailed(f"{path.name} changed while it was being stored")
        with self._lock:
            self._damaged.discard(digest)
        return digest, size_bytes

    def fetch_blob(self, digest: Digest, size_bytes: int, destination: Path) -> None:
        """See ``Store``."""
        temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(6)}.tmp")
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("x+b", buffering=0) as file, self._noting_damage(digest):
                download(self._source(digest, size_bytes), file, self._pool, ahead=2 * self._transfers)
            temporary.replace(destination)
        except OSError as error:
            raise DestinationFailed(f"cannot write {destination}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def check_blob(self, digest: Digest, size_bytes: int) -> None:
        """See ``Store``."""
        with self._noting_damage(digest):
            stream(self._source(digest, size_bytes))

    def blob_size(self, digest: Digest) -> int | None:
        """See ``Store``."""
        stored = self._objects.stat(self._blob_name(digest))
        return None if stored is None else stored.size_bytes

    def delete_blob(self, digest: Digest, *, if_written_s: float) -> bool:
        """See ``Store``."""
        name = self._blob_name(digest)
        stored = self._objects.stat(name)
        if stored is None or stored.used_s != if_written_s:
            return False
        self._objects.delete(name)
        return True

    def blobs(self) -> Iterator[tuple[Digest, StoredStat]]:
        """See ``Store``."""
        for match, stored in self._objects.listed(f"{self.root}blob/", "", _BLOB):
            yield Digest("sha256", match["hex"]), stored

    def unfinished(self) -> Iterator[Unfinished]:
        """See ``Store``. S3 does not say how long the parts of an upload are."""
        for page in self._bucket.pages("ListMultipartUploads", Prefix=self.root):
            for found in page.get("Uploads", ()):
                yield Unfinished(None, found["Initiated"].timestamp())

    def sweep(self, older_than_s: float) -> int:
        """See ``Store``. S3 does not say how long the parts of a dead upload are, so the bytes are not known."""
        abort_stale_uploads(self._bucket, self.root, older_than_s)
        remove_stale_leases(self._bucket, self.root, older_than_s)
        return 0

    def _adopted(self, name: str, size_bytes: int) -> bool:
        """Whether an object of that length is there, made young enough that nobody prunes it meanwhile.

        One that cannot be made so, for whatever reason, is sent again.
        """
        stored = self._objects.stat(name)
        if stored is None or stored.size_bytes != size_bytes:
            return False
        if abs(time.time() - stored.used_s) < self._renew_blob_s:
            return True
        if size_bytes > _COPY_LIMIT_BYTES:
            return False
        try:
            return self._objects.renew(name)
        except StoreFailed as failure:
            if failure.extent is Extent.PLACE:
                raise
            return False

    @contextlib.contextmanager
    def _noting_damage(self, digest: Digest) -> Iterator[None]:
        try:
            yield
        except BlobDamaged:
            with self._lock:
                self._damaged.add(digest)
            raise

    def _receipt_name(self, kind: str, key: Digest) -> str:
        return f"{self.root}receipt/{kind}/{key.hex[:2]}/{key.hex}.json"

    def _source(self, digest: Digest, size_bytes: int) -> Source:
        return Source(self._bucket, self._blob_name(digest), digest, size_bytes)

    def _blob_name(self, digest: Digest) -> str:
        return f"{self.root}blob/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def _state(file: IO[bytes]) -> tuple[int, int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest_from_file(file: IO[bytes]) -> tuple[Digest, int]:
    hasher, size_bytes, view = hashlib.sha256(), 0, memoryview(bytearray(_HASH_BYTES))
    while count := file.readinto(view):  # type: ignore[attr-defined]
        hasher.update(view[:count])
        size_bytes += count
    return Digest("sha256", hasher.hexdigest()), size_bytes
