"""Reading the body of an S3 answer as it arrives, so that a deadline is met whatever the server does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.cache.s3_bucket import Deadline


def arrived(body: Any, limit_bytes: int, deadline: Deadline) -> bytes:
    """At most ``limit_bytes`` that are there, at least one; none at the end of the body.

    ``read`` of botocore's ``StreamingBody`` waits for as many bytes as it is asked for, and each of them may take as
    long as the read time-out. So what it reads from is asked for what one reception brings. Raises as ``read`` does:
    ``BotoCoreError``, ``OSError``; ``StoreFailed`` past ``deadline``.
    """
    from botocore import exceptions as known
    from urllib3 import exceptions as found

    try:
        chunk: bytes = body._raw_stream.read1(limit_bytes)  # noqa: SLF001
    except found.ReadTimeoutError as error:
        raise known.ReadTimeoutError(endpoint_url=error.url, error=error) from error
    except found.HTTPError as error:
        raise known.ResponseStreamingError(error=error) from error
    deadline.check()
    return chunk


def whole(body: Any, limit_bytes: int, deadline: Deadline) -> bytes:
    """The body, cut off beyond ``limit_bytes``. Raises as ``arrived`` does."""
    data = bytearray()
    while len(data) < limit_bytes:
        chunk = arrived(body, limit_bytes - len(data), deadline)
        if not chunk:
            break
        data += chunk
    return bytes(data)
