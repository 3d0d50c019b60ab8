"""Calls to one bucket: whose it must be, how long a call may take, and its failures as failures of a store.

A call is tried three times in all, in botocore's standard mode: it waits between the tries, and it does not retry
what cannot succeed. Time limits are short, since whatever does not answer is built instead. Bodies are always signed
with their SHA-256, so the server refuses bytes that changed on the way to it; other checksums are left out, because
many S3-compatible servers do not know them.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from pipeline.cache.s3_errors import failed_from_botocore, failed_from_client_error
from pipeline.cache.shared_client import SharedClient
from pipeline.cache.store import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.cache.s3_address import S3Address

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 4.0
"""A run that is cancelled has 5 s to end, and waits for no more than the answer that is under way."""
ATTEMPTS = 3
_HASTE_S = 1.0
_CONNECTIONS = 64


class AnsweredError(Exception):
    """The server answered with an error that the caller asked to see. ``retries`` counts earlier tries."""

    def __init__(self, code: str, retries: int) -> None:
        super().__init__(code)
        self.code = code
        self.retries = retries


class S3Bucket:
    """The bucket of ``address``. Safe to use from many threads; the client is made at the first call.

    ``cancel`` ends a call before its next try. ``make_client`` makes another client where the credentials of the
    first have expired.
    """

    def __init__(
        self,
        address: S3Address,
        *,
        cancel: threading.Event | None = None,
        make_client: Callable[[S3Address], Any] | None = None,
    ) -> None:
        self.address = address
        self._cancel = cancel or threading.Event()
        make = make_client or make_s3_client
        self._client = SharedClient(lambda: make(address), "s3", self._cancel)
        self._common: dict[str, Any] = {"Bucket": address.bucket}
        if address.owner:
            self._common["ExpectedBucketOwner"] = address.owner
        self.encryption: dict[str, Any] = {}
        if address.encryption:
            self.encryption["ServerSideEncryption"] = address.encryption
        if address.kms_key:
            self.encryption["SSEKMSKeyId"] = address.kms_key

    def call(self, operation: str, *, seen: frozenset[str] = frozenset(), **parameters: Any) -> dict[str, Any]:
        """Carry out ``operation``, spelt like ``GetObject``.

        Raises ``AnsweredError`` for the error codes in ``seen``, ``StoreFailed`` for all others. A client whose
        credentials have expired is replaced once, by one that asks boto3's default chain anew.
        """
        return self._client.call(lambda client: self._try(client, operation, seen, parameters), "its configuration")

    def pages(self, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The pages of a listing. Raises ``StoreFailed``, also where a server cannot say how it goes on."""
        tokens: dict[str, Any] = {}
        while True:
            page = self.call(operation, **parameters, **tokens)
            yield page
            if not page.get("IsTruncated"):
                return
            following = {told: page[name] for told, name in _NEXT_PAGE[operation].items() if page.get(name)}
            if not following or following == tokens:
                raise StoreFailed(f"it answered {operation} with a page that has no next one and is not the last")
            tokens = following

    def check_cancelled(self) -> None:
        """Raise ``StoreFailed`` where the run was cancelled."""
        self._client.check_cancelled()

    def pause(self, delay_s: float) -> None:
        """Wait before another try, unless the run is cancelled (``StoreFailed``)."""
        self._cancel.wait(delay_s)
        self.check_cancelled()

    def _try(self, client: Any, operation: str, seen: frozenset[str], parameters: dict[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        self.check_cancelled()
        if "Body" in parameters and not isinstance(parameters["Body"], bytes):
            parameters["Body"].seek(0)  # an earlier try has read it
        method = getattr(client, _METHODS[operation])
        try:
            answer: dict[str, Any] = method(**self._common, **parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "?"))
            if code in seen:
                retries = int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))
                raise AnsweredError(code, retries) from error
            raise failed_from_client_error(operation, error.response) from error
        except (BotoCoreError, OSError) as error:
            raise failed_from_botocore(operation, error) from error
        missing = [name for name in _ANSWERS.get(operation, ()) if name not in answer]
        if missing:
            fix = "check the address of its endpoint: something else than S3 may answer there"
            raise StoreFailed(f"it answered {operation} without {missing[0]}", fix=fix)
        return answer


class Deadline:
    """When a transfer of ``size_bytes`` must be done; monotonic, so no change of the clock moves it.

    A server that trickles never meets a read time-out, and would hold a run up for ever.
    """

    _GRACE_S = 60.0
    _SLOWEST_BYTES_PER_S = 1 << 20

    def __init__(self, size_bytes: int) -> None:
        self._limit_s = self._GRACE_S + size_bytes / self._SLOWEST_BYTES_PER_S
        self._end_s = time.monotonic() + self._limit_s

    def check(self) -> None:
        """Raise ``StoreFailed`` when it is past."""
        if time.monotonic() > self._end_s:
            raise StoreFailed(f"a transfer was not done after {self._limit_s:.0f} s")


def make_hasty_s3_client(address: S3Address) -> Any:
    """A client for the last requests of a run that ends: one try, of a second or two."""
    return make_s3_client(address, connect_timeout_s=_HASTE_S, read_timeout_s=_HASTE_S, attempts=1)


def make_s3_client(
    address: S3Address,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    attempts: int = ATTEMPTS,
) -> Any:
    """A boto3 client with credentials from the default chain; a new session, so that the chain is asked anew."""
    import boto3
    from botocore.config import Config

    style = {"addressing_style": address.addressing} if address.addressing != "auto" else {}
    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=_CONNECTIONS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        s3={"payload_signing_enabled": True, **style},
    )
    return boto3.session.Session().client(
        "s3", region_name=address.region, endpoint_url=address.endpoint_url, config=config
    )


_ANSWERS = {
    "GetObject": ("ContentLength",),
    "HeadObject": ("ContentLength", "LastModified", "ETag"),
    "PutObject": ("ETag",),
    "CreateMultipartUpload": ("UploadId",),
    "UploadPart": ("ETag",),
}
"""What is needed of an answer."""

_NEXT_PAGE = {
    "ListObjectsV2": {"ContinuationToken": "NextContinuationToken"},
    "ListMultipartUploads": {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"},
}
"""By what a page asks for the next one, and what that is called in the answer."""

_METHODS = {
    "GetObject": "get_object",
    "PutObject": "put_object",
    "HeadObject": "head_object",
    "CopyObject": "copy_object",
    "DeleteObject": "delete_object",
    "ListObjectsV2": "list_objects_v2",
    "CreateMultipartUpload": "create_multipart_upload",
    "UploadPart": "upload_part",
    "CompleteMultipartUpload": "complete_multipart_upload",
    "AbortMultipartUpload": "abort_multipart_upload",
    "ListMultipartUploads": "list_multipart_uploads",
}
