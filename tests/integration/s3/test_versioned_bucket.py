"""A bucket that keeps old versions of its objects, as many companies ask for.

In such a bucket this server ignores conditions, as some S3-compatible ones do everywhere: the cache is as safe as ever.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pipeline.cache.answers import Commit, Hit, Miss, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.lease import S3Leases
from pipeline.cache.pruning import prune
from pipeline.cache.s3_address import S3Address
from pipeline.cache.s3_bucket import S3Bucket, make_s3_client
from pipeline.cache.s3_store import S3Store
from pipeline.doctor.bucket import bucket_findings
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.ceph import Gateway

KEY = key_from_ingredients("engine", {"model": "m"})


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Any]:
    opened = boto3.client("s3", endpoint_url=gateway.endpoint_url)
    yield opened
    opened.close()


@pytest.fixture
def bucket(gateway: Gateway, client: Any) -> Iterator[S3Bucket]:
    name = f"versioned-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    address = S3Address(bucket=name, prefix="team", endpoint_url=gateway.endpoint_url, addressing="path")
    clients: list[Any] = []

    def made(of: S3Address) -> Any:
        clients.append(make_s3_client(of))
        return clients[-1]

    yield S3Bucket(address, make_client=made)
    for each in clients:
        each.close()


@pytest.fixture
def store(bucket: S3Bucket) -> Iterator[S3Store]:
    opened = S3Store(bucket, "trusted", renew_receipt_s=0, renew_blob_s=0)
    yield opened
    opened.close()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "plan"
    path.write_bytes(bytes(9 << 20))
    return {"engine.plan": path}


def test_what_was_stored_is_found_whoever_stored_it_last(
    store: S3Store, files: dict[str, Path], tmp_path: Path
) -> None:
    first = ContentCache(store).commit(KEY, "digits", files, {})
    files["engine.plan"].write_bytes(b"other bytes of the same engine")
    second = ContentCache(store).commit(KEY, "digits", files, {})

    assert (first.outcome, second.outcome) == (Commit.STORED, Commit.STORED), "this server keeps no first one here"
    found = ContentCache(store).lookup(KEY, "digits")
    assert found == Hit(second.receipt)
    fetched = ContentCache(store).fetch(found, tmp_path / "out")
    assert isinstance(fetched, tuple)
    assert fetched[0].read_bytes() == b"other bytes of the same engine"


def test_a_damaged_blob_is_rejected_and_replaced(
    store: S3Store, bucket: S3Bucket, client: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    hit = Hit(ContentCache(store).commit(KEY, "digits", files, {}).receipt)
    name = store._blob_name(hit.receipt.blobs[0].digest)
    client.put_object(Bucket=bucket.address.bucket, Key=name, Body=b"damaged")
    cache = ContentCache(store)

    assert isinstance(cache.fetch(hit, tmp_path / "out"), Rejected)
    cache.commit(KEY, "digits", files, {})
    assert isinstance(cache.fetch(hit, tmp_path / "out"), tuple)


def test_what_was_pruned_is_missed_and_stored_again(store: S3Store, files: dict[str, Path], tmp_path: Path) -> None:
    ContentCache(store).commit(KEY, "digits", files, {})

    assert len(prune(store, now_s=time.time() + 3e6, older_than_s=1e6).entries) == 1
    assert ContentCache(store).lookup(KEY, "digits") == Miss("never built before")
    again = ContentCache(store).commit(KEY, "digits", files, {})
    assert isinstance(ContentCache(store).fetch(Hit(again.receipt), tmp_path / "out"), tuple)


def test_what_is_replaced_again_and_again_is_replaced_each_time(store: S3Store) -> None:
    for data in (b"one", b"two", b"three"):
        assert store.put_receipt("baseline", KEY.digest, data, replace=True)
        assert store.get_receipt("baseline", KEY.digest) == data


def test_leases_that_keep_nobody_out_end_like_others(bucket: S3Bucket, store: S3Store) -> None:
    leases = S3Leases(bucket, store.root, term_s=60)
    for _ in range(2):
        lease = leases.take("engine", KEY.digest)
        assert lease is not None
        assert leases.held("engine", KEY.digest)
        leases.release(lease)
        assert not leases.held("engine", KEY.digest)


def test_the_doctor_says_that_the_server_does_not_keep_what_is_there(bucket: S3Bucket) -> None:
    told = [finding.text for finding in bucket_findings(bucket, "trusted")]

    assert any("ignores `If-None-Match`" in text for text in told)
