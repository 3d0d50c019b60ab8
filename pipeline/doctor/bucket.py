"""Where a cache in S3 stands: whether this job reaches it, reads it, lists it and writes to it.

One object of a few bytes is written below the job's own scope, and removed again where the job may do that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.cache.s3_bucket import AnsweredError
from pipeline.cache.s3_errors import CONFLICT, NOT_FOUND, PRECONDITION_FAILED
from pipeline.cache.store import StoreFailed
from pipeline.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cache.s3_bucket import S3Bucket

PROBE = "doctor/probe"
_IN_THE_WAY = PRECONDITION_FAILED | CONFLICT


def bucket_findings(bucket: S3Bucket, scope: str) -> Iterator[Finding]:
    """What a job of ``scope`` may do in ``bucket``. Where it cannot be read, nothing more is asked."""
    name, root = f"{bucket.address} as {scope}", bucket.address.root(scope)
    started_s = time.monotonic()
    try:
        bucket.call("GetObject", seen=NOT_FOUND, Key=f"{root}doctor/missing")
    except AnsweredError:
        pass
    except StoreFailed as failure:
        # A run goes on without its cache, so this is a problem of the machine only where a run would fail.
        yield Finding("problem", "cache", f"{name}: {failure.reason}: {failure.fix}".removesuffix(": "))
        return
    yield Finding("ok", "cache", f"{name}, answered in {(time.monotonic() - started_s) * 1000:.0f} ms")
    try:
        bucket.call("ListObjectsV2", Prefix=root, MaxKeys=1)
    except StoreFailed as failure:
        yield Finding("note", "cache", f"it cannot be listed, which `cache` commands need: {failure.reason}")
    yield _writing(bucket, f"{root}{PROBE}")


def _writing(bucket: S3Bucket, key: str) -> Finding:
    """Whether the job may write, and whether the server keeps what is already there when it is asked to."""
    try:
        answers = [_put(bucket, key) for _ in range(2)]
    except StoreFailed as failure:
        return Finding("note", "cache", f"it is only read, so what this job builds is not kept: {failure.reason}")
    try:
        bucket.call("DeleteObject", Key=key)
    except StoreFailed:
        kept = f"; this job may not remove {key}, which stays"
    else:
        kept = ""
    if answers[1]:
        text = "the server ignores `If-None-Match`: of two runners that build the same, the later one's engine stays"
        return Finding("note", "cache", text + kept)
    return Finding("ok", "cache", "it can be written, and keeps what is there" + kept)


def _put(bucket: S3Bucket, key: str) -> bool:
    """Whether the object was stored; ``False`` where there was one."""
    try:
        bucket.call("PutObject", seen=_IN_THE_WAY, Key=key, Body=b"probe", IfNoneMatch="*", **bucket.encryption)
    except AnsweredError:
        return False
    return True
