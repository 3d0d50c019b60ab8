from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

from pipeline.cache.lease import S3Leases
from pipeline.cache.s3_address import S3Address
from pipeline.cache.s3_bucket import S3Bucket
from pipeline.cache.s3_download import Source, download
from pipeline.cache.store import StoreFailed
from pipeline.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from pathlib import Path

KEY = Digest("sha256", "ab" * 32)
_MIB = 1 << 20


class Body:
    """A body that brings ``data`` at once, or fails with ``error``."""

    def __init__(self, data: bytes = b"", error: Exception | None = None) -> None:
        self._left = data
        self._error = error
        self._raw_stream = self

    def read1(self, limit: int) -> bytes:
        if self._error is not None:
            raise self._error
        chunk, self._left = self._left[:limit], self._left[limit:]
        return chunk

    def read(self, limit: int) -> bytes:
        return self.read1(limit)

    def close(self) -> None:
        """Nothing is open."""


def bucket(**methods: Callable[..., Any]) -> S3Bucket:
    """A bucket whose client has ``methods`` alone."""
    meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_names: None))
    return S3Bucket(S3Address(bucket="engines"), make_client=lambda _address: SimpleNamespace(meta=meta, **methods))


def refusal(code: str, operation: str, *, retries: int = 0) -> ClientError:
    told = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"RetryAttempts": retries}}
    return ClientError(told, operation)


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.mark.parametrize("operation", ["ListObjectsV2", "ListMultipartUploads"])
@pytest.mark.parametrize(
    "following",
    [
        {},
        {"NextContinuationToken": "same", "NextKeyMarker": "same", "NextUploadIdMarker": "same"},
    ],
    ids=["does not say", "says the same again"],
)
def test_a_listing_that_cannot_go_on_is_a_failure_and_no_endless_loop(
    operation: str, following: dict[str, str]
) -> None:
    def answer(**_asked: Any) -> dict[str, Any]:
        return {"IsTruncated": True, **following}

    pages = bucket(list_objects_v2=answer, list_multipart_uploads=answer).pages(operation, Prefix="p/")

    with pytest.raises(StoreFailed, match="is not the last"):
        list(itertools.islice(pages, 5))


def test_F9_credentials_whose_expiry_an_answer_without_a_body_cannot_name_are_renewed() -> None:
    asked: list[str] = []

    def head(**parameters: Any) -> dict[str, Any]:
        asked.append(parameters["Key"])
        if len(asked) == 1:
            raise refusal("400", "HeadObject")
        return {"ContentLength": 1, "LastModified": None, "ETag": "e"}

    assert bucket(head_object=head).call("HeadObject", Key="k")["ETag"] == "e"


def test_F9_credentials_that_seem_expired_all_the_same_are_named() -> None:
    def head(**_parameters: Any) -> dict[str, Any]:
        raise refusal("400", "HeadObject")

    with pytest.raises(StoreFailed, match="may have expired"):
        bucket(head_object=head).call("HeadObject", Key="k")


def test_a_server_that_ignores_ranges_is_a_failure_and_its_blob_not_damaged(tmp_path: Path, pool: Executor) -> None:
    data = bytes(9 * _MIB)

    def get(**_parameters: Any) -> dict[str, Any]:
        return {"ContentLength": len(data), "ETag": '"e"', "Body": Body(data)}

    source = Source(bucket(get_object=get), "blob", KEY, len(data))

    with (tmp_path / "blob").open("x+b", buffering=0) as file, pytest.raises(StoreFailed, match="other bytes"):
        download(source, file, pool, ahead=2)


def test_a_lease_whose_own_text_cannot_be_read_back_is_a_failure_of_the_place() -> None:
    def put(**_parameters: Any) -> dict[str, Any]:
        raise refusal("PreconditionFailed", "PutObject", retries=1)

    def get(**_parameters: Any) -> dict[str, Any]:
        return {"ContentLength": 32, "ETag": '"e"', "Body": Body(error=ResponseStreamingError(error="cut"))}

    with pytest.raises(StoreFailed, match="no connection"):
        S3Leases(bucket(put_object=put, get_object=get), "v1/trusted/", term_s=60).take("engine", KEY)
