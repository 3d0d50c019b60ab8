"""Sending one file to S3: whole where it is small, else in parts in parallel; visible only when it is complete.

The server checks each part against the SHA-256 in its signature. What a dead process leaves are parts of an upload
that nobody can read; ``abort_stale_uploads`` and a lifecycle rule of the bucket remove them.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections import deque
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.cache.s3_bucket import AnsweredError, Deadline
from pipeline.cache.s3_errors import NOT_FOUND
from pipeline.cache.store import StoreFailed

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import IO

    from pipeline.cache.s3_bucket import S3Bucket

PART_BYTES = 8 << 20
_IN_FLIGHT_BYTES = 64 << 20
_MOST_PARTS = 9000
"""S3 allows 10,000 (Amazon S3 User Guide, "Multipart upload limits")."""

_NO_UPLOAD = frozenset({"NoSuchUpload"})


class _Body(io.BytesIO):
    """``data`` of one request to ``bucket``, read piece by piece as the server takes it.

    A server that takes it in drops meets no time-out of a connection. So each piece is handed out only before a
    deadline, which counts from here, since a part waits for its turn as long as it takes; ``StoreFailed`` after that.
    """

    def __init__(self, data: bytes, bucket: S3Bucket) -> None:
        super().__init__(data)
        self._bucket = bucket
        self._deadline = Deadline(len(data))

    def read(self, size: int | None = -1, /) -> bytes:
        self._bucket.check_cancelled()
        self._deadline.check()
        return super().read(size)


@dataclass(frozen=True, slots=True)
class Upload:
    """The first ``size_bytes`` of ``file`` on their way to ``key``."""

    bucket: S3Bucket
    key: str
    file: IO[bytes]
    size_bytes: int

    def send(self, pool: Executor) -> None:
        """Store them. Raises ``StoreFailed``, ``OSError`` from ``file``."""
        bucket, key = self.bucket, self.key
        if self.size_bytes <= PART_BYTES:
            bucket.call("PutObject", Key=key, **self._body(0, self.size_bytes), **bucket.encryption)
            return
        upload_id = bucket.call("CreateMultipartUpload", Key=key, **bucket.encryption)["UploadId"]
        try:
            self._complete(upload_id, self._send_parts(upload_id, pool))
        except BaseException:
            with contextlib.suppress(StoreFailed, AnsweredError):
                bucket.call("AbortMultipartUpload", seen=_NO_UPLOAD, Key=key, UploadId=upload_id)
            raise

    def _send_parts(self, upload_id: str, pool: Executor) -> list[dict[str, Any]]:
        part_bytes = max(PART_BYTES, -(-self.size_bytes // _MOST_PARTS))
        most_in_flight = max(1, _IN_FLIGHT_BYTES // part_bytes)
        waiting: deque[Future[dict[str, Any]]] = deque()
        sent: list[dict[str, Any]] = []

        def send(number: int, position: int) -> dict[str, Any]:
            part = self._body(position, min(part_bytes, self.size_bytes - position))
            answer = self.bucket.call("UploadPart", Key=self.key, UploadId=upload_id, PartNumber=number, **part)
            return {"PartNumber": number, "ETag": answer["ETag"]}

        try:
            for number, position in enumerate(range(0, self.size_bytes, part_bytes), start=1):
                if len(waiting) == most_in_flight:
                    sent.append(waiting.popleft().result())
                waiting.append(pool.submit(send, number, position))
            while waiting:
                sent.append(waiting.popleft().result())
        finally:
            for future in waiting:
                future.cancel()
            wait(waiting)
        return sent

    def _body(self, position: int, length: int) -> dict[str, Any]:
        data = os.pread(self.file.fileno(), length, position)
        return {"Body": _Body(data, self.bucket), "ContentLength": len(data)}

    def _complete(self, upload_id: str, parts: list[dict[str, Any]]) -> None:
        named: dict[str, Any] = {"Key": self.key, "UploadId": upload_id, "MultipartUpload": {"Parts": parts}}
        try:
            self.bucket.call("CompleteMultipartUpload", seen=_NO_UPLOAD, **named)
        except AnsweredError as error:
            # An earlier try may have completed it although its answer was lost.
            try:
                stored_bytes = self.bucket.call("HeadObject", seen=NOT_FOUND, Key=self.key)["ContentLength"]
            except AnsweredError:
                stored_bytes = None
            if stored_bytes != self.size_bytes:
                raise StoreFailed("an upload was aborted from outside while it was in progress") from error


def abort_stale_uploads(bucket: S3Bucket, prefix: str, older_than_s: float) -> int:
    """Abort the uploads below ``prefix`` that began long ago; returns how many. Raises ``StoreFailed``."""
    aborted = 0
    for page in bucket.pages("ListMultipartUploads", Prefix=prefix):
        for found in page.get("Uploads", ()):
            if abs(time.time() - found["Initiated"].timestamp()) >= older_than_s:
                with contextlib.suppress(AnsweredError):
                    bucket.call("AbortMultipartUpload", seen=_NO_UPLOAD, Key=found["Key"], UploadId=found["UploadId"])
                    aborted += 1
    return aborted
