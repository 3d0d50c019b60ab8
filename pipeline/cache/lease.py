"""Leases: of several runners that miss the same key at the same moment, one builds and the others need not.

A lease is an object beside the receipts, created with ``If-None-Match: *``. Its holder renews it while it builds, and
removes it at the end. One that was not renewed in time belongs to a dead runner, and is taken over with ``If-Match``,
so that one taker wins. Ages are by the server's clock alone. A lease is a courtesy: receipts decide what stands, and
any failure here means only that a thing may be built twice.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.cache.s3_bucket import AnsweredError
from pipeline.cache.s3_errors import CONFLICT, NOT_FOUND, PRECONDITION_FAILED
from pipeline.cache.store import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.cache.s3_bucket import S3Bucket
    from pipeline.digest import Digest
    from pipeline.keys import Key

TERM_S = 120.0
_FIRST_POLL_S = 1.0
_LONGEST_POLL_S = 10.0


@dataclass(slots=True)
class Lease:
    """A lease that is held, by its version ``etag``."""

    name: str
    etag: str


class Leases(Protocol):
    """A place for leases."""

    def take(self, kind: str, key: Digest) -> Lease | None:
        """A new lease, or ``None`` where somebody alive holds it. Raises ``StoreFailed``."""

    def renew(self, lease: Lease) -> bool:
        """Start the term of ``lease`` anew; ``False`` where it was lost. Raises ``StoreFailed``."""

    def release(self, lease: Lease) -> None:
        """Give ``lease`` up. Raises ``StoreFailed``."""


class S3Leases:
    """The leases below ``root``, which ends with a slash, in ``bucket``; one lasts ``term_s`` unless renewed."""

    def __init__(self, bucket: S3Bucket, root: str, *, term_s: float = TERM_S) -> None:
        self._bucket = bucket
        self._root = root
        self._term_s = term_s

    def take(self, kind: str, key: Digest) -> Lease | None:
        """See ``Leases``."""
        name = f"{self._root}lease/{kind}/{key.hex[:2]}/{key.hex}"
        created = self._put(name, IfNoneMatch="*")
        if created is not None:
            return created
        try:
            found = self._bucket.call("HeadObject", seen=NOT_FOUND, Key=name)
        except AnsweredError:
            return self._put(name, IfNoneMatch="*")
        server_now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        if (server_now - found["LastModified"]).total_seconds() < self._term_s:
            return None
        return self._put(name, IfMatch=_bare(found["ETag"]))

    def renew(self, lease: Lease) -> bool:
        """See ``Leases``."""
        renewed = self._put(lease.name, IfMatch=lease.etag)
        if renewed is not None:
            lease.etag = renewed.etag
        return renewed is not None

    def release(self, lease: Lease) -> None:
        """See ``Leases``. Its version is asked for first, so that a lease that was lost is left to its new holder."""
        with contextlib.suppress(AnsweredError):
            found = self._bucket.call("HeadObject", seen=NOT_FOUND, Key=lease.name)
            if _bare(found["ETag"]) == lease.etag:
                self._bucket.call("DeleteObject", Key=lease.name)

    def _put(self, name: str, **condition: Any) -> Lease | None:
        body = secrets.token_hex(16).encode()  # Other bytes each time give each version an ETag of its own.
        try:
            seen = PRECONDITION_FAILED | CONFLICT | NOT_FOUND
            answer = self._bucket.call(
                "PutObject", seen=seen, Key=name, Body=body, **condition, **self._bucket.encryption
            )
        except AnsweredError:
            return None
        return Lease(name, _bare(answer["ETag"]))


def _bare(etag: str) -> str:
    """Without its quotes: S3 takes both for ``If-Match`` on a PUT, some servers only this."""
    return etag.strip('"')


@contextlib.contextmanager
def building_alone(
    leases: Leases | None,
    key: Key,
    *,
    appeared: Callable[[], bool],
    cancel: threading.Event,
    patience_s: float,
    term_s: float = TERM_S,
) -> Iterator[bool]:
    """Wait while another runner builds ``key``; then say whether it must be built here.

    ``False`` says that ``appeared`` found it meanwhile. ``True`` says to build now: the lease is held, or leases do not
    work here, or ``patience_s`` has passed, or ``cancel`` is set. The lease is renewed while the block runs.
    """
    lease, found = _lease_or_find(leases, key, appeared, cancel, patience_s)
    if leases is None or lease is None:
        yield not found
        return
    done = threading.Event()
    renewer = threading.Thread(target=_keep_renewed, args=(leases, lease, done, term_s / 3), daemon=True)
    renewer.start()
    try:
        yield not found
    finally:
        done.set()
        renewer.join()
        with contextlib.suppress(StoreFailed):
            leases.release(lease)


def _lease_or_find(
    leases: Leases | None, key: Key, appeared: Callable[[], bool], cancel: threading.Event, patience_s: float
) -> tuple[Lease | None, bool]:
    """The lease where it is to be had, and whether ``key`` has appeared."""
    if leases is None:
        return None, False
    try:
        lease, waited_s, poll_s = leases.take(key.kind, key.digest), 0.0, _FIRST_POLL_S
        while lease is None and waited_s < patience_s and not cancel.wait(poll_s):
            if appeared():
                return None, True
            waited_s, poll_s = waited_s + poll_s, min(2 * poll_s, _LONGEST_POLL_S)
            lease = leases.take(key.kind, key.digest)
    except StoreFailed:
        return None, False
    # The last holder may have finished between the look-up and the taking.
    return lease, lease is not None and appeared()


def _keep_renewed(leases: Leases, lease: Lease, done: threading.Event, every_s: float) -> None:
    while not done.wait(every_s):
        with contextlib.suppress(StoreFailed):
            if not leases.renew(lease):
                return
