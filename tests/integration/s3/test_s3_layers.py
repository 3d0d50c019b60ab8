"""Tiers, scopes and seals over a real server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.answers import Commit, Hit, Miss, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.cache.s3_opening import CachePlace, opened_store
from pipeline.cache.scope import Scope
from pipeline.cache.seal import HmacSeal
from pipeline.cache.tiered import TieredStore
from pipeline.keys import key_from_ingredients
from tests.support.faulty_proxy import Fault, always
from tests.support.s3_places import BUCKET, S3Place
from tests.support.store_contract import StoreContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.cache.seal import Seal
    from pipeline.digest import Digest
    from tests.support.faulty_proxy import FaultyProxy

KEY = key_from_ingredients("engine", {"model": "m"})
SECRET = b"s" * 32


class TieredPlace:
    """A folder in front of the bucket; what goes past it reaches both."""

    def __init__(self, place: S3Place, folder: Path) -> None:
        self._place = place
        self._near = LocalStore(folder)
        self.store = TieredStore(self._near, place.store)

    def overwrite_blob(self, digest: Digest, data: bytes) -> None:
        self._place.overwrite_blob(digest, data)
        self._near._blob_path(digest).unlink()

    def remove_blob(self, digest: Digest) -> None:
        self._place.remove_blob(digest)
        self._near._blob_path(digest).unlink()

    def add_foreign_names(self) -> None:
        self._place.add_foreign_names()


class TestTieredStore(StoreContract):
    @pytest.fixture
    def place(self, place: S3Place, tmp_path: Path) -> TieredPlace:
        return TieredPlace(place, tmp_path / "near")


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "plan"
    path.write_bytes(b"plan" * 1000)
    return {"engine.plan": path}


def _cache(place: S3Place, scope: str, folder: Path | None = None, seal: Seal | None = None) -> ContentCache:
    where = CachePlace(folder, place.address)
    return ContentCache(opened_store(where, Scope(scope), seal=seal, cancel=threading.Event()))


@pytest.fixture(autouse=True)
def _sockets_closed() -> Iterator[None]:
    """Stores that a test opened by name have clients of their own, which are closed when they are forgotten."""
    import gc
    import warnings

    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_pull_request_uses_what_the_trusted_branch_built_and_keeps_its_own_apart(
    place: S3Place, engine: dict[str, Path], tmp_path: Path
) -> None:
    trusted, pull_request = _cache(place, "trusted"), _cache(place, "pr/12/7")
    own = key_from_ingredients("engine", {"model": "changed"})
    trusted.commit(KEY, "digits", engine, {})
    engine["engine.plan"].write_bytes(b"other" * 1000)

    found = pull_request.lookup(KEY, "digits")
    assert isinstance(found, Hit)
    assert isinstance(pull_request.fetch(found, tmp_path / "out"), tuple)
    assert pull_request.commit(own, "digits", engine, {}).outcome is Commit.STORED

    assert isinstance(pull_request.lookup(own, "digits"), Hit)
    assert isinstance(trusted.lookup(own, "digits"), Miss)
    assert isinstance(_cache(place, "pr/12/8").lookup(own, "digits"), Miss)
    assert {key.split("/receipt")[0].split("/blob")[0] for key in place.keys()} == {"v1/trusted", "v1/pr/12/7"}


def test_a_folder_in_front_answers_when_the_server_does_not(
    place: S3Place, proxy: FaultyProxy, engine: dict[str, Path], tmp_path: Path
) -> None:
    _cache(place, "trusted").commit(KEY, "digits", engine, {})
    with S3Place(proxy.endpoint_url, prefix=place.prefix) as behind:
        near = tmp_path / "near"
        first = _cache(behind, "trusted", near)
        found = first.lookup(KEY, "digits")
        assert isinstance(found, Hit)
        assert isinstance(first.fetch(found, tmp_path / "out"), tuple)
        asked = len(proxy.requests)
        proxy.script = always(Fault(status=503, code="SlowDown"))

        again = _cache(behind, "trusted", near)
        assert again.lookup(KEY, "digits") == found
        assert isinstance(again.fetch(found, tmp_path / "again"), tuple)

    assert len(proxy.requests) == asked


def test_the_loser_of_a_race_reads_the_winners_files_once(
    place: S3Place, proxy: FaultyProxy, engine: dict[str, Path], tmp_path: Path
) -> None:
    winner = _cache(place, "trusted").commit(KEY, "digits", engine, {})
    engine["engine.plan"].write_bytes(b"other" * 1000)
    with S3Place(proxy.endpoint_url, prefix=place.prefix) as behind:
        loser = _cache(behind, "trusted", tmp_path / "near")
        committed = loser.commit(KEY, "digits", engine, {})
        fetched = loser.fetch(Hit(committed.receipt), tmp_path / "out")

    assert committed.outcome is Commit.ADOPTED
    assert isinstance(fetched, tuple)
    assert fetched[0].read_bytes() == b"plan" * 1000
    assert proxy.count("GET", winner.receipt.blobs[0].digest.hex) == 1


def test_T1_a_receipt_that_was_sealed_with_another_secret_is_never_followed(
    place: S3Place, proxy: FaultyProxy, engine: dict[str, Path], tmp_path: Path
) -> None:
    _cache(place, "trusted", seal=HmacSeal([b"x" * 32])).commit(KEY, "digits", engine, {})
    with S3Place(proxy.endpoint_url, prefix=place.prefix) as behind:
        cache = _cache(behind, "trusted", seal=HmacSeal([SECRET]))
        found = cache.lookup(KEY, "digits")
        assert isinstance(found, Rejected)
        assert "its seal is wrong" in found.reason
        assert proxy.count("/blob/") == 0

        assert cache.commit(KEY, "digits", engine, {}).outcome is Commit.REPLACED
        assert isinstance(cache.lookup(KEY, "digits"), Hit)


def test_T2_a_sealed_receipt_of_a_pull_request_that_is_copied_to_the_trusted_scope_is_rejected(
    place: S3Place, engine: dict[str, Path]
) -> None:
    _cache(place, "pr/12/7", seal=HmacSeal([SECRET])).commit(KEY, "digits", engine, {})
    for name in place.keys():
        source = {"Bucket": BUCKET, "Key": f"{place.prefix}/{name}"}
        target = f"{place.prefix}/{name.replace('pr/12/7', 'trusted')}"
        place.client.copy_object(Bucket=BUCKET, Key=target, CopySource=source)

    assert isinstance(_cache(place, "trusted", seal=HmacSeal([SECRET])).lookup(KEY, "digits"), Rejected)
    assert isinstance(_cache(place, "trusted").lookup(KEY, "digits"), Hit)
