"""What a team asks for in the address of its cache is in the very requests, and a real server takes them."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from pipeline.cache.answers import Commit, Hit
from pipeline.cache.content import ContentCache
from pipeline.cache.lease import S3Leases
from pipeline.cache.pruning import prune
from pipeline.doctor.bucket import bucket_findings
from pipeline.keys import key_from_ingredients
from tests.support.ceph import DNS_NAME, KMS_KEY
from tests.support.faulty_proxy import Fault
from tests.support.s3_places import BUCKET, S3Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.faulty_proxy import FaultyProxy, Request

KEY = key_from_ingredients("engine", {"model": "m"})
SUBJECT = "digits"
OWNER = "123456789012"
ENCRYPTION = "x-amz-server-side-encryption"
KMS_KEY_ID = "x-amz-server-side-encryption-aws-kms-key-id"
OPERATIONS = {
    "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "DeleteObject",
    "GetObject", "HeadObject", "ListMultipartUploads", "ListObjectsV2", "PutObject", "UploadPart",
}  # fmt: skip
"""All that the program ever asks of S3."""

MAKING = {"PutObject", "CreateMultipartUpload", "CopyObject"}
"""Those that make an object, and say how it is encrypted; S3 refuses to be told so by any other."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """An engine that is sent in parts, and an outcome that is sent whole."""
    paths = {"engine.plan": tmp_path / "plan", "outcome.json": tmp_path / "outcome"}
    paths["engine.plan"].write_bytes(bytes(range(256)) * 80_000)
    paths["outcome.json"].write_bytes(b"{}")
    return paths


@contextlib.contextmanager
def asked(proxy: FaultyProxy, place: S3Place, options: str) -> Iterator[S3Place]:
    """The place of ``place`` behind ``proxy``, with ``options`` in its address; everything is renewed at once."""
    with S3Place(proxy.endpoint_url, prefix=place.prefix, options=options, renew_blob_s=0, renew_receipt_s=0) as opened:
        yield opened


def use_in_every_way(place: S3Place, files: dict[str, Path], out: Path) -> tuple[Path, ...]:
    """Do all that is ever done in a bucket; the files that were fetched."""
    leases = S3Leases(place.bucket, place.store.root, term_s=60)
    lease = leases.take(KEY.kind, KEY.digest)
    assert lease is not None
    assert leases.renew(lease)
    leases.release(lease)
    cache = ContentCache(place.store)
    hit = Hit(cache.commit(KEY, SUBJECT, files, {}).receipt)
    assert cache.commit(KEY, SUBJECT, files, {}).outcome is Commit.ADOPTED
    assert cache.lookup(KEY, SUBJECT) == hit
    fetched = cache.fetch(hit, out)
    assert isinstance(fetched, tuple)
    place.bucket.call("CreateMultipartUpload", Key=f"{place.store.root}dead", **place.bucket.encryption)
    place.store.sweep(0)
    assert len(list(bucket_findings(place.bucket, "trusted"))) == 2
    return fetched


def operation(request: Request) -> str:
    """Which of S3's operations it was."""
    address = urlsplit(request.path)
    words = {part.partition("=")[0] for part in address.query.split("&")}
    if request.method == "GET":
        return (
            "ListObjectsV2" if "list-type" in words else "ListMultipartUploads" if "uploads" in words else "GetObject"
        )
    if request.method == "PUT":
        copies = "x-amz-copy-source" in request.headers
        return "UploadPart" if "uploadId" in words else "CopyObject" if copies else "PutObject"
    if request.method == "POST":
        return "CreateMultipartUpload" if "uploads" in words else "CompleteMultipartUpload"
    if request.method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in words else "DeleteObject"
    return {"HEAD": "HeadObject"}[request.method]


def told(proxy: FaultyProxy, header: str) -> dict[str, set[str | None]]:
    """What each operation said in ``header``."""
    found: dict[str, set[str | None]] = {}
    for request in proxy.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        found.setdefault(operation(request), set()).add(headers.get(header))
    return found


def test_T11_every_request_names_the_account_that_must_own_the_bucket(
    proxy: FaultyProxy, place: S3Place, files: dict[str, Path], tmp_path: Path
) -> None:
    with asked(proxy, place, f"owner={OWNER}") as owned:
        use_in_every_way(owned, files, tmp_path / "out")

    assert told(proxy, "x-amz-expected-bucket-owner") == {each: {OWNER} for each in OPERATIONS}
    assert told(proxy, "x-amz-source-expected-bucket-owner")["CopyObject"] == {OWNER}


def test_T2_every_request_that_writes_a_receipt_has_a_condition(
    proxy: FaultyProxy, place: S3Place, files: dict[str, Path], tmp_path: Path
) -> None:
    with asked(proxy, place, "") as opened:
        use_in_every_way(opened, files, tmp_path / "out")

    written = [request for request in proxy.requests if request.is_for("PUT", "/receipt/")]
    assert {operation(request) for request in written} == {"PutObject", "CopyObject"}
    for request in written:
        assert {name.lower() for name in request.headers} & {"if-match", "if-none-match"}


def test_a_receipt_is_renewed_without_a_condition_where_the_server_copies_only_so(
    proxy: FaultyProxy, place: S3Place, files: dict[str, Path]
) -> None:
    with asked(proxy, place, "") as opened:
        cache = ContentCache(opened.store)
        cache.commit(KEY, SUBJECT, files, {})
        proxy.script = lambda request: (
            Fault(status=501, code="NotImplemented")
            if operation(request) == "CopyObject" and "If-Match" in request.headers
            else None
        )
        assert isinstance(cache.lookup(KEY, SUBJECT), Hit)

    copies = [request for request in proxy.requests if operation(request) == "CopyObject"]
    assert ["If-Match" in request.headers for request in copies] == [True, False]


def test_T11_the_requests_of_upkeep_name_the_account_too(
    proxy: FaultyProxy, place: S3Place, files: dict[str, Path]
) -> None:
    with asked(proxy, place, f"owner={OWNER}") as owned:
        ContentCache(owned.store).commit(KEY, SUBJECT, files, {})
        assert prune(owned.store, now_s=time.time(), keep_bytes=0, grace_s=0).entries

    assert set.union(*told(proxy, "x-amz-expected-bucket-owner").values()) == {OWNER}


@pytest.mark.parametrize(("options", "encryption"), [("sse=s3", "AES256"), ("", None)], ids=["sse-s3", "none"])
def test_objects_are_made_with_the_encryption_that_was_asked_for(
    proxy: FaultyProxy,
    place: S3Place,
    files: dict[str, Path],
    tmp_path: Path,
    options: str,
    encryption: str | None,
) -> None:
    with asked(proxy, place, options) as encrypted:
        use_in_every_way(encrypted, files, tmp_path / "out")

    assert told(proxy, ENCRYPTION) == {each: {encryption if each in MAKING else None} for each in OPERATIONS}
    assert told(proxy, KMS_KEY_ID) == {each: {None} for each in OPERATIONS}


def test_with_a_key_of_kms_every_object_is_encrypted_by_it_and_comes_back(
    proxy: FaultyProxy, place: S3Place, files: dict[str, Path], tmp_path: Path
) -> None:
    with asked(proxy, place, f"sse=kms&kms-key={KMS_KEY}") as encrypted:
        fetched = use_in_every_way(encrypted, files, tmp_path / "out")
        leases = S3Leases(encrypted.bucket, encrypted.store.root, term_s=60)
        assert leases.take(KEY.kind, KEY.digest) is not None

    assert [path.read_bytes() for path in fetched] == [files[path.name].read_bytes() for path in fetched]
    assert told(proxy, ENCRYPTION) == {each: {"aws:kms" if each in MAKING else None} for each in OPERATIONS}
    assert told(proxy, KMS_KEY_ID) == {each: {KMS_KEY if each in MAKING else None} for each in OPERATIONS}
    stored = place.keys()
    assert len(stored) == 4, "two blobs, a receipt and a lease"
    for name in stored:
        head = place.client.head_object(Bucket=BUCKET, Key=f"{place.prefix}/{name}")
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KMS_KEY)


def test_an_encryption_that_the_server_does_not_know_is_asked_for_all_the_same_and_its_refusal_told(
    proxy: FaultyProxy, place: S3Place, files: dict[str, Path]
) -> None:
    with asked(proxy, place, f"sse=kms-dsse&kms-key={KMS_KEY}") as encrypted:
        committed = ContentCache(encrypted.store).commit(KEY, SUBJECT, files, {})

    assert told(proxy, ENCRYPTION)["CreateMultipartUpload"] == {"aws:kms:dsse"}
    assert committed.outcome is Commit.UNSTORED
    assert "InvalidArgument" in committed.warnings[0]
    assert place.keys() == []


@pytest.fixture
def _wildcard_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name below the gateway's domain is this machine, as a wildcard entry in DNS would say."""
    look_up = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **options: Any) -> Any:
        return look_up("127.0.0.1" if str(host).endswith(f".{DNS_NAME}") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.usefixtures("_wildcard_names")
def test_by_virtual_addressing_the_bucket_is_in_the_name_of_the_host(
    proxy: FaultyProxy, place: S3Place, files: dict[str, Path], tmp_path: Path
) -> None:
    port = urlsplit(proxy.endpoint_url).port
    with S3Place(
        f"http://{DNS_NAME}:{port}",
        prefix=place.prefix,
        options="addressing=virtual",
        renew_blob_s=0,
        renew_receipt_s=0,
    ) as virtual:
        fetched = use_in_every_way(virtual, files, tmp_path / "out")

    assert fetched[0].read_bytes() == files[fetched[0].name].read_bytes()
    assert told(proxy, "host") == {each: {f"{BUCKET}.{DNS_NAME}:{port}"} for each in OPERATIONS}
    assert not any(request.path.startswith(f"/{BUCKET}") for request in proxy.requests)


def test_by_path_the_bucket_is_in_the_path(
    proxy: FaultyProxy, place: S3Place, files: dict[str, Path], tmp_path: Path
) -> None:
    with asked(proxy, place, "addressing=path") as by_path:
        use_in_every_way(by_path, files, tmp_path / "out")

    assert told(proxy, "host") == {each: {urlsplit(proxy.endpoint_url).netloc} for each in OPERATIONS}
    assert all(request.path.startswith(f"/{BUCKET}") for request in proxy.requests)
