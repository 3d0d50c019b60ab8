"""Leases: which runner is at work on a key, told to the others by an object beside the receipts.

A lease is created with ``If-None-Match: *``. Its holder renews it while it works, and removes it at the end. One that
was not renewed in time belongs to a dead runner, and is taken over with ``If-Match``, so that one taker wins. Ages are
by the server's clock alone. A lease is a courtesy: receipts decide what stands. ``pipeline.cache.turns`` uses them.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.cache.s3_body import whole
from pipeline.cache.s3_bucket import AnsweredError, Deadline
from pipeline.cache.s3_errors import CONFLICT, NOT_FOUND, PRECONDITION_FAILED, failed_from_botocore
from pipeline.cache.store import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.cache.s3_bucket import S3Bucket
    from pipeline.digest import Digest

LEASE_FOLDER = "lease/"


@dataclass(slots=True)
class Lease:
    """A lease that is held, by its version ``etag``."""

    name: str
    etag: str


class Leases(Protocol):
    """A place for leases. One lasts ``term_s`` unless it is renewed."""

    @property
    def term_s(self) -> float:
        """See the class."""

    def held(self, kind: str, key: Digest) -> bool:
        """Whether somebody alive holds the lease. Raises ``StoreFailed``."""

    def take(self, kind: str, key: Digest) -> Lease | None:
        """A new lease, or ``None`` where somebody alive holds it. Raises ``StoreFailed``."""

    def renew(self, lease: Lease) -> bool:
        """Start the term of ``lease`` anew; ``False`` where it was lost. Raises ``StoreFailed``."""

    def release(self, lease: Lease, *, in_haste: bool = False) -> None:
        """Give ``lease`` up; ``in_haste`` says that there are only seconds for it. Raises ``StoreFailed``."""


class S3Leases:
    """The leases below ``root``, which ends with a slash, in ``bucket``. See ``Leases``.

    ``hasty`` is the same bucket for a run that ends, where it is asked once and for a short time.
    """

    def __init__(self, bucket: S3Bucket, root: str, *, term_s: float, hasty: S3Bucket | None = None) -> None:
        self._bucket = bucket
        self._hasty = hasty or bucket
        self._root = root
        self.term_s = term_s

    def held(self, kind: str, key: Digest) -> bool:
        """See ``Leases``."""
        try:
            return self._alive(self._bucket.call("HeadObject", seen=NOT_FOUND, Key=self._name(kind, key)))
        except AnsweredError:
            return False

    def take(self, kind: str, key: Digest) -> Lease | None:
        """See ``Leases``."""
        name = self._name(kind, key)
        created = self._put(name, IfNoneMatch="*")
        if created is not None:
            return created
        try:
            found = self._bucket.call("HeadObject", seen=NOT_FOUND, Key=name)
        except AnsweredError:
            return self._put(name, IfNoneMatch="*")
        return None if self._alive(found) else self._put(name, IfMatch=bare_etag(found))

    def renew(self, lease: Lease) -> bool:
        """See ``Leases``."""
        renewed = self._put(lease.name, IfMatch=lease.etag)
        if renewed is not None:
            lease.etag = renewed.etag
        return renewed is not None

    def release(self, lease: Lease, *, in_haste: bool = False) -> None:
        """See ``Leases``. Its version is asked for first, so that a lease that was lost is left to its new holder."""
        bucket = self._hasty if in_haste else self._bucket
        with contextlib.suppress(AnsweredError):
            found = bucket.call("HeadObject", seen=NOT_FOUND, Key=lease.name)
            if bare_etag(found) == lease.etag:
                bucket.call("DeleteObject", Key=lease.name)

    def _name(self, kind: str, key: Digest) -> str:
        return f"{self._root}{LEASE_FOLDER}{kind}/{key.hex[:2]}/{key.hex}"

    def _alive(self, found: Mapping[str, Any]) -> bool:
        """Whether a lease, as ``HeadObject`` describes it, was made or renewed within the term."""
        try:
            server_now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
            return bool((server_now - found["LastModified"]).total_seconds() < self.term_s)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreFailed("it does not say what time it is") from error

    def _put(self, name: str, **condition: Any) -> Lease | None:
        body = secrets.token_hex(16).encode()  # Other bytes each time give each version an ETag of its own.
        seen = PRECONDITION_FAILED | CONFLICT | NOT_FOUND
        try:
            answer = self._bucket.call(
                "PutObject", seen=seen, Key=name, Body=body, **condition, **self._bucket.encryption
            )
        except AnsweredError as error:
            # An earlier try of this very call may have stored it although its answer was lost.
            return self._own(name, body) if error.retries > 0 else None
        return Lease(name, bare_etag(answer))

    def _own(self, name: str, body: bytes) -> Lease | None:
        from botocore.exceptions import BotoCoreError

        try:
            answer = self._bucket.call("GetObject", seen=NOT_FOUND, Key=name)
            with contextlib.closing(answer["Body"]) as found:
                same = whole(found, len(body), Deadline(len(body))) == body
            return Lease(name, bare_etag(answer)) if same else None
        except AnsweredError:
            return None
        except (BotoCoreError, OSError) as error:
            raise failed_from_botocore("GetObject", error) from error


def remove_stale_leases(bucket: S3Bucket, root: str, older_than_s: float) -> None:
    """Remove what dead runners left below ``root`` long ago. Raises ``StoreFailed``."""
    for page in bucket.pages("ListObjectsV2", Prefix=f"{root}{LEASE_FOLDER}"):
        for found in page.get("Contents", ()):
            if abs(time.time() - found["LastModified"].timestamp()) >= older_than_s:
                bucket.call("DeleteObject", Key=found["Key"])


def bare_etag(answer: Mapping[str, Any]) -> str:
    """The ETag in an answer without its quotes: S3 takes both for ``If-Match`` on a PUT, some servers only this."""
    return str(answer["ETag"]).strip('"')
