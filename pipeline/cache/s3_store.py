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

from pipeline.cache.lease import bare_etag, remove_stale_leases
from pipeline.cache.receipt import RECEIPT_LIMIT_BYTES
from pipeline.cache.s3_body import whole
from pipeline.cache.s3_bucket import ATTEMPTS, AnsweredError, Deadline
from pipeline.cache.s3_download import Source, download, stream
from pipeline.cache.s3_errors import CONFLICT, NOT_FOUND, PRECONDITION_FAILED, failed_from_botocore
from pipeline.cache.s3_upload import Upload, abort_stale_uploads
from pipeline.cache.store import BlobDamaged, DestinationFailed, StoredStat, StoreFailed, Unfinished
from pipeline.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO, Any

    from pipeline.cache.s3_bucket import S3Bucket

_TRANSFERS = 8
_CONFLICT_ATTEMPTS = 5
_CONFLICT_DELAY_S = 0.1
_HASH_BYTES = 1 << 20
_NOT_IMPLEMENTED = frozenset({"NotImplemented", "501"})
_NOT_CREATED = PRECONDITION_FAILED | CONFLICT
_NOT_REPLACED = _NOT_CREATED | NOT_FOUND | _NOT_IMPLEMENTED
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
        self.root = bucket.address.root(scope)
        self._name = f"s3://{bucket.address.bucket}/{self.root}".rstrip("/")
        self.use_lag_s = renew_receipt_s
        self._renew_blob_s = renew_blob_s
        self._transfers = transfers
        self._pool = ThreadPoolExecutor(transfers, "s3-transfer")
        self._lock = threading.Lock()
        self._damaged: set[Digest] = set()
        self._written_s: dict[str, float] = {}
        self._etags: dict[str, str] = {}

    def __str__(self) -> str:
        return self._name

    def close(self) -> None:
        """End the threads that transfer. The store must not be used afterwards."""
        self._pool.shutdown()

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        """See ``Store``."""
        from botocore.exceptions import BotoCoreError

        name = self._receipt_name(kind, key)
        deadline = Deadline(RECEIPT_LIMIT_BYTES)
        for attempt in range(ATTEMPTS):
            try:
                answer = self._bucket.call("GetObject", seen=NOT_FOUND, Key=name)
            except AnsweredError:
                return None
            try:
                with contextlib.closing(answer["Body"]) as body:
                    data = whole(body, RECEIPT_LIMIT_BYTES + 1, deadline)
                    expected_bytes = min(int(answer["ContentLength"]), RECEIPT_LIMIT_BYTES + 1)
                    if len(data) < expected_bytes:
                        raise ConnectionResetError("the body ended early")
            except (BotoCoreError, OSError) as error:
                if attempt == ATTEMPTS - 1:
                    raise failed_from_botocore("GetObject", error) from error
                self._bucket.pause(_CONFLICT_DELAY_S)
                continue
            if "LastModified" in answer:
                with self._lock:
                    self._written_s[name] = answer["LastModified"].timestamp()
            self._note_etag(name, answer)
            return data
        return None

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        """See ``Store``."""
        name = self._receipt_name(kind, key)
        sent: dict[str, Any] = {
            "Key": name, "Body": data, "ContentType": "application/json", **self._bucket.encryption
        }  # fmt: skip
        condition = self._as_seen(name) if replace else {"IfNoneMatch": "*"}
        seen = _NOT_REPLACED if replace else _NOT_CREATED
        for _ in range(_CONFLICT_ATTEMPTS):
            try:
                answer = self._bucket.call("PutObject", seen=seen, **condition, **sent)
            except AnsweredError as error:
                if error.code in CONFLICT:
                    self._bucket.pause(_CONFLICT_DELAY_S)
                    continue
                if error.code in _NOT_IMPLEMENTED and condition:
                    condition = {}  # Some S3-compatible servers create conditionally, but do not replace so.
                    continue
                with self._lock:
                    self._etags.pop(name, None)
                # An earlier try of this very call may have stored it although its answer was lost.
                return error.retries > 0 and self.get_receipt(kind, key) == data
            self._note_etag(name, answer)
            return True
        raise StoreFailed(f"other runs write receipt {key} again and again")

    def mark_used(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        name = self._receipt_name(kind, key)
        with self._lock:
            written_s, etag = self._written_s.get(name), self._etags.get(name)
        if written_s is not None and abs(time.time() - written_s) >= self.use_lag_s:
            with contextlib.suppress(StoreFailed):
                self._renew(name, if_match=etag)

    def delete_receipt(self, kind: str, key: Digest) -> None:
        """See ``Store``."""
        self._bucket.call("DeleteObject", Key=self._receipt_name(kind, key))

    def receipts(self, kind: str | None = None) -> Iterator[tuple[str, Digest, StoredStat]]:
        """See ``Store``."""
        below = f"{kind}/" if kind is not None else ""
        for match, stored in self._listed("receipt/", below, _RECEIPT):
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
        stored = self._stat(self._blob_name(digest))
        return None if stored is None else stored.size_bytes

    def delete_blob(self, digest: Digest, *, if_written_s: float) -> bool:
        """See ``Store``."""
        name = self._blob_name(digest)
        stored = self._stat(name)
        if stored is None or stored.used_s != if_written_s:
            return False
        self._bucket.call("DeleteObject", Key=name)
        return True

    def blobs(self) -> Iterator[tuple[Digest, StoredStat]]:
        """See ``Store``."""
        for match, stored in self._listed("blob/", "", _BLOB):
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
        """Whether an object of that length is there, made young enough that nobody prunes it meanwhile."""
        stored = self._stat(name)
        if stored is None or stored.size_bytes != size_bytes:
            return False
        if abs(time.time() - stored.used_s) < self._renew_blob_s:
            return True
        return size_bytes <= _COPY_LIMIT_BYTES and self._renew(name)

    def _renew(self, name: str, *, if_match: str | None = None) -> bool:
        """Copy an object onto itself, which starts its age anew; ``False`` where it is gone or cannot be copied.

        Ceph's gateway, for one, copies no object that is encrypted by KMS. With ``if_match`` the object must still be
        the one of that ETag, where the server can tell.
        """
        owner = self._bucket.address.owner
        extra: dict[str, Any] = {"ExpectedSourceBucketOwner": owner} if owner else {}
        if if_match:
            extra["IfMatch"] = if_match
        try:
            self._bucket.call(
                "CopyObject",
                seen=NOT_FOUND | _NOT_CREATED | _NOT_IMPLEMENTED,
                Key=name,
                CopySource={"Bucket": self._bucket.address.bucket, "Key": name},
                MetadataDirective="REPLACE",
                **extra,
                **self._bucket.encryption,
            )
        except AnsweredError as error:
            return bool(if_match) and error.code in _NOT_IMPLEMENTED and self._renew(name)
        return True

    def _stat(self, name: str) -> StoredStat | None:
        try:
            answer = self._bucket.call("HeadObject", seen=NOT_FOUND, Key=name)
        except AnsweredError:
            return None
        return StoredStat(int(answer["ContentLength"]), answer["LastModified"].timestamp())

    def _listed(self, folder: str, below: str, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], StoredStat]]:
        """Whatever has the name of a stored thing; other names are nobody's business."""
        start = f"{self.root}{folder}"
        for page in self._bucket.pages("ListObjectsV2", Prefix=f"{start}{below}"):
            for found in page.get("Contents", ()):
                match = pattern.fullmatch(found["Key"].removeprefix(start))
                if match:
                    # HEAD gives whole seconds, so the two can be compared.
                    yield match, StoredStat(int(found["Size"]), float(int(found["LastModified"].timestamp())))

    def _as_seen(self, name: str) -> dict[str, str]:
        """The condition that a receipt is still the one that was read last or, where none was, that is there now."""
        with self._lock:
            etag = self._etags.get(name)
        if etag is None:
            try:
                etag = bare_etag(self._bucket.call("HeadObject", seen=NOT_FOUND, Key=name))
            except AnsweredError:
                return {"IfNoneMatch": "*"}
        return {"IfMatch": etag}

    def _note_etag(self, name: str, answer: dict[str, Any]) -> None:
        """Remember which version of a receipt was seen last, so that only that one is ever replaced."""
        if "ETag" in answer:
            with self._lock:
                self._etags[name] = bare_etag(answer)

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
