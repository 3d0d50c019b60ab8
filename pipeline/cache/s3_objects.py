"""Objects of a bucket as a store needs them: read whole, made or replaced by one of many writers, renewed, listed.

An object is created with ``If-None-Match: *`` and replaced with ``If-Match``, so of many writers one wins.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from pipeline.cache.lease import bare_etag
from pipeline.cache.s3_body import whole
from pipeline.cache.s3_bucket import ATTEMPTS, AnsweredError, Deadline
from pipeline.cache.s3_errors import CONFLICT, NOT_FOUND, PRECONDITION_FAILED, failed_from_botocore
from pipeline.cache.store import StoredStat, StoreFailed

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from typing import Any

    from pipeline.cache.s3_bucket import S3Bucket

_ATTEMPTS_AT_CONFLICTS = 5
_REFUSALS_TO_BELIEVE = 3
_PAUSE_S = 0.1
_NOT_IMPLEMENTED = frozenset({"NotImplemented", "501"})
_NOT_CREATED = PRECONDITION_FAILED | CONFLICT
_NOT_REPLACED = _NOT_CREATED | NOT_FOUND | _NOT_IMPLEMENTED


class S3Objects:
    """The objects of ``bucket``, by their full names. Safe to use from many threads. Methods raise ``StoreFailed``.

    It remembers which version of an object was seen last, and when one that was read had been written.
    """

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self._written_s: dict[str, float] = {}
        self._etags: dict[str, str | None] = {}
        """``None`` where there was no object when it was looked for last."""
        self._renews = True

    def read(self, name: str, limit_bytes: int) -> bytes | None:
        """The bytes of a small object, no more than one past ``limit_bytes``; ``None`` where there is none."""
        from botocore.exceptions import BotoCoreError

        deadline = Deadline(limit_bytes)
        for attempt in range(ATTEMPTS):
            try:
                answer = self._bucket.call("GetObject", seen=NOT_FOUND, Key=name)
            except AnsweredError:
                with self._lock:
                    self._etags[name] = None
                return None
            try:
                with contextlib.closing(answer["Body"]) as body:
                    data = whole(body, limit_bytes + 1, deadline)
                    expected_bytes = min(int(answer["ContentLength"]), limit_bytes + 1)
                    if len(data) < expected_bytes:
                        raise ConnectionResetError("the body ended early")
            except (BotoCoreError, OSError) as error:
                if attempt == ATTEMPTS - 1:
                    raise failed_from_botocore("GetObject", error) from error
                self._bucket.pause(_PAUSE_S)
                continue
            if "LastModified" in answer:
                with self._lock:
                    self._written_s[name] = answer["LastModified"].timestamp()
            self._note_etag(name, answer)
            return data
        return None

    def write(self, name: str, data: bytes, *, replace: bool) -> bool:
        """Create a small JSON object, or ``replace`` the version that was seen last; ``False`` where another was first.

        ``StoreFailed`` also where others write it again and again.
        """
        sent: dict[str, Any] = {
            "Key": name, "Body": data, "ContentType": "application/json", **self._bucket.encryption
        }  # fmt: skip
        condition = self._as_seen(name) if replace else {"IfNoneMatch": "*"}
        seen = _NOT_REPLACED if replace else _NOT_CREATED
        codes: list[str] = []
        while len(codes) < _ATTEMPTS_AT_CONFLICTS:
            refusal = self._refusal(name, seen, condition | sent)
            if refusal is None:
                return True
            codes.append(refusal.code)
            next_condition = self._condition_after(name, condition, codes)
            if next_condition is None:
                with self._lock:
                    self._etags.pop(name, None)
                # An earlier try of this very call may have stored it although its answer was lost.
                return refusal.retries > 0 and self.read(name, len(data)) == data
            condition = next_condition
        raise StoreFailed(f"other runs write {name} again and again")

    def renew_read(self, name: str, older_than_s: float) -> None:
        """Renew an object that was read, where it was older than that and still stands.

        A failure is of no account, but the last: nobody counts what it costs, so nothing is renewed so any more.
        """
        with self._lock:
            written_s, etag, renews = self._written_s.get(name), self._etags.get(name), self._renews
        if renews and written_s is not None and abs(time.time() - written_s) >= older_than_s:
            try:
                self.renew(name, if_match=etag)
            except StoreFailed:
                with self._lock:
                    self._renews = False

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        self._bucket.call("DeleteObject", Key=name)

    def renew(self, name: str, *, if_match: str | None = None) -> bool:
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
            return bool(if_match) and error.code in _NOT_IMPLEMENTED and self.renew(name)
        return True

    def stat(self, name: str) -> StoredStat | None:
        """Length and time of an object; ``None`` where there is none."""
        try:
            answer = self._bucket.call("HeadObject", seen=NOT_FOUND, Key=name)
        except AnsweredError:
            return None
        return StoredStat(int(answer["ContentLength"]), answer["LastModified"].timestamp())

    def listed(self, root: str, below: str, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], StoredStat]]:
        """Whatever lies in ``below`` of ``root`` and has, from there on, a name of ``pattern``."""
        for page in self._bucket.pages("ListObjectsV2", Prefix=f"{root}{below}"):
            for found in page.get("Contents", ()):
                match = pattern.fullmatch(found["Key"].removeprefix(root))
                if match:
                    # HEAD gives whole seconds, so the two can be compared.
                    yield match, StoredStat(int(found["Size"]), float(int(found["LastModified"].timestamp())))

    def _as_seen(self, name: str) -> dict[str, str]:
        """The condition that an object is as it was when it was last looked for or, where it was not, as it is now."""
        with self._lock:
            looked, etag = name in self._etags, self._etags.get(name)
        if not looked:
            etag = self._etag_there(name)
        return {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}

    def _refusal(self, name: str, seen: frozenset[str], sent: dict[str, Any]) -> AnsweredError | None:
        """The refusal, one of ``seen``, of an object that is sent; ``None`` where it is stored."""
        try:
            answer = self._bucket.call("PutObject", seen=seen, **sent)
        except AnsweredError as error:
            return error
        self._note_etag(name, answer)
        return None

    def _condition_after(self, name: str, condition: dict[str, str], codes: list[str]) -> dict[str, str] | None:
        """The condition of the next try to write, after the refusals ``codes``; ``None`` where another was first."""
        if codes[-1] in CONFLICT:
            self._bucket.pause(_PAUSE_S)
            return condition
        if codes[-1] in _NOT_IMPLEMENTED and condition:
            return {}  # Some S3-compatible servers create conditionally, but do not replace so.
        if "IfMatch" not in condition or self._etag_there(name) != condition["IfMatch"]:
            return None
        if sum(code not in CONFLICT for code in codes) < _REFUSALS_TO_BELIEVE:
            # Another's write may have been under way, and is not seen before it has ended.
            self._bucket.pause(_PAUSE_S)
            return condition
        return {}  # Others refuse it although it holds, like Ceph's gateway where versions are kept.

    def _etag_there(self, name: str) -> str | None:
        """The ETag of the object that is there now; ``None`` where there is none."""
        try:
            return bare_etag(self._bucket.call("HeadObject", seen=NOT_FOUND, Key=name))
        except AnsweredError:
            return None

    def _note_etag(self, name: str, answer: dict[str, Any]) -> None:
        """Remember which version of an object was seen last, so that only that one is ever replaced."""
        if "ETag" in answer:
            with self._lock:
                self._etags[name] = bare_etag(answer)
