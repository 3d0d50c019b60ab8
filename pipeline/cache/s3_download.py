"""Fetching one blob from S3: ranges in parallel, straight into a private file, hashed in order as they arrive.

The first range says how long the object is and which version of it is read (``ETag``); the others ask for that version
only. What is hashed is what lies in the file, so the bytes that were checked are the bytes that will be used. Memory
does not depend on the length: each range passes through a small buffer, and is hashed from the page cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.cache.s3_body import arrived
from pipeline.cache.s3_bucket import ATTEMPTS, AnsweredError, Deadline
from pipeline.cache.s3_errors import NOT_FOUND, PRECONDITION_FAILED, failed_from_botocore
from pipeline.cache.store import BlobDamaged, BlobMissing, DestinationFailed, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from typing import IO

    from pipeline.cache.s3_bucket import S3Bucket
    from pipeline.digest import Digest

SHORTEST_RANGE_BYTES = 8 << 20
_LONGEST_RANGE_BYTES = 64 << 20
_SHARES = 16
_BUFFER_BYTES = 128 << 10
_CONTENT_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")
_INVALID_RANGE = frozenset({"InvalidRange", "416"})
_RETRY_DELAY_S = 0.2
_VERSIONS_READ = 3


def ranges_from_size(size_bytes: int) -> tuple[range, ...]:
    """The ranges that a blob is fetched in, at least one: each a sixteenth of what is left, 8 to 64 MiB, aligned to 8.

    Long ones cost the server fewer requests; the last are short, so that little is left to hash when all have arrived.
    """
    ranges: list[range] = []
    start = 0
    while start < size_bytes or not ranges:
        shares = (size_bytes - start) // _SHARES // SHORTEST_RANGE_BYTES
        wanted = min(max(shares, 1) * SHORTEST_RANGE_BYTES, _LONGEST_RANGE_BYTES)
        ranges.append(range(start, min(start + wanted, size_bytes)))
        start += wanted
    return tuple(ranges)


class _Replaced(Exception):  # noqa: N818 - a finding, dealt with in this module
    """The object was stored anew while it was read."""


@dataclass(frozen=True, slots=True)
class Source:
    """A blob as its receipt describes it, and where it should lie."""

    bucket: S3Bucket
    key: str
    digest: Digest
    size_bytes: int


def download(source: Source, file: IO[bytes], pool: Executor, *, ahead: int) -> None:
    """Write the blob to ``file``, at most ``ahead`` ranges at a time.

    Raises ``BlobMissing``, ``BlobDamaged``, ``DestinationFailed``, ``StoreFailed``; then ``file`` holds anything.
    """
    _check_digest(source, lambda: _fetch_version(source, file, pool, ahead))


def stream(source: Source) -> None:
    """Read the blob to its end without keeping it. Raises as ``download`` does."""
    deadline = Deadline(source.size_bytes)

    def read_version() -> str:
        hasher = hashlib.sha256()
        for chunk in _chunks(source, deadline, _opened(source, source.size_bytes), 0, source.size_bytes):
            hasher.update(chunk)
        return hasher.hexdigest()

    _check_digest(source, read_version)


def _check_digest(source: Source, read_version: Callable[[], str]) -> None:
    """Compare with the digest of one whole version of the object."""
    found = None
    for _ in range(_VERSIONS_READ):
        with contextlib.suppress(_Replaced):
            found = read_version()
            break
    if found is None:
        raise BlobDamaged(f"blob {source.digest} is being replaced again and again")
    if found != source.digest.hex:
        raise BlobDamaged(f"the bytes of blob {source.digest} have changed")


def _fetch_version(source: Source, file: IO[bytes], pool: Executor, ahead: int) -> str:
    """Fetch whatever version is there, and return the hex digest of what was written.

    A range waits for a thread while other blobs are fetched, which takes as long as it takes; so the time of each
    counts from its own beginning, and a blob of one range waits for nobody.
    """
    ranges = ranges_from_size(source.size_bytes)
    first = _opened(source, ranges[0].stop)
    etag, stop = first.get("ETag"), threading.Event()
    fetched: list[Future[None]] = []
    hasher, view = hashlib.sha256(), memoryview(bytearray(_BUFFER_BYTES))

    def fetch(start: int, end: int, answer: dict[str, Any] | None) -> None:
        deadline = Deadline(end - start)
        answer = answer or _get(source, start, end, etag)
        for chunk in _chunks(source, deadline, answer, start, end):
            if stop.is_set():
                return
            _write(file, chunk, start)
            start += len(chunk)

    try:
        if len(ranges) == 1:
            fetch(0, source.size_bytes, first)
            _hash_range(hasher, file, ranges[0], view)
            return hasher.hexdigest()
        for number, positions in enumerate(ranges):
            for begun in ranges[len(fetched) : number + ahead]:
                fetched.append(pool.submit(fetch, begun.start, begun.stop, None if fetched else first))
            fetched[number].result()
            _hash_range(hasher, file, positions, view)
    finally:
        # Nothing may write to the file once its owner has it back.
        stop.set()
        for future in fetched:
            future.cancel()
        wait(fetched)
        first["Body"].close()
    return hasher.hexdigest()


def _opened(source: Source, end: int) -> dict[str, Any]:
    """The answer with the first ``end`` bytes, after its whole length was found to be right."""
    ranged = {"Range": f"bytes=0-{end - 1}"} if end else {}
    try:
        answer = source.bucket.call("GetObject", seen=NOT_FOUND | _INVALID_RANGE, Key=source.key, **ranged)
    except AnsweredError as error:
        if error.code in NOT_FOUND:
            raise BlobMissing(f"blob {source.digest} is gone") from error
        raise BlobDamaged(f"blob {source.digest} is shorter than its {source.size_bytes} bytes") from error
    match = _CONTENT_RANGE.fullmatch(answer.get("ContentRange") or "")
    total_bytes = int(match[1]) if match else int(answer["ContentLength"])
    if total_bytes != source.size_bytes:
        answer["Body"].close()
        size_text = "longer" if total_bytes > source.size_bytes else "shorter"
        raise BlobDamaged(f"blob {source.digest} is {size_text} than its {source.size_bytes} bytes")
    return answer


def _get(source: Source, start: int, end: int, etag: str | None) -> dict[str, Any]:
    condition = {"IfMatch": etag} if etag else {}
    seen = NOT_FOUND | PRECONDITION_FAILED | _INVALID_RANGE
    asked = f"bytes={start}-{end - 1}"
    try:
        answer = source.bucket.call("GetObject", seen=seen, Key=source.key, Range=asked, **condition)
    except AnsweredError as error:
        raise _Replaced from error
    told = str(answer.get("ContentRange") or "")
    if start and not told.startswith(f"bytes {start}-"):
        answer["Body"].close()
        fix = "a proxy that ignores Range may stand before it"
        raise StoreFailed("it answered with other bytes than were asked for", fix=fix)
    return answer


def _chunks(source: Source, deadline: Deadline, answer: dict[str, Any], start: int, end: int) -> Iterator[bytes]:
    """The bytes of the range, ``answer`` first; where a body breaks off, the rest is asked for again."""
    from botocore.exceptions import BotoCoreError

    etag = answer.get("ETag")
    for left in reversed(range(ATTEMPTS)):
        body = answer["Body"]
        try:
            while start < end:
                chunk = arrived(body, min(_BUFFER_BYTES, end - start), deadline)
                if not chunk:
                    raise ConnectionResetError("the body ended early")
                source.bucket.check_cancelled()
                start += len(chunk)
                yield chunk
        except (BotoCoreError, OSError) as error:
            if left == 0:
                raise failed_from_botocore("GetObject", error) from error
        else:
            return
        finally:
            body.close()
        source.bucket.pause(_RETRY_DELAY_S)
        answer = _get(source, start, end, etag)


def _write(file: IO[bytes], chunk: bytes, position: int) -> None:
    view = memoryview(chunk)
    try:
        while view:
            count = os.pwrite(file.fileno(), view, position)
            view, position = view[count:], position + count
    except OSError as error:
        raise DestinationFailed(f"cannot write {file.name}: {error.strerror or error}") from error


def _hash_range(hasher: Any, file: IO[bytes], positions: range, view: memoryview) -> None:
    start = positions.start
    try:
        while start < positions.stop:
            count = os.preadv(file.fileno(), [view[: positions.stop - start]], start)
            if count == 0:
                raise DestinationFailed(f"{file.name} was cut while it was written")
            hasher.update(view[:count])
            start += count
    except OSError as error:
        raise DestinationFailed(f"cannot read {file.name}: {error.strerror or error}") from error
