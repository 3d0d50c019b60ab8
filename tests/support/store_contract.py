"""What every ``Store`` must do, whatever it is made of. A test class inherits it and gives the fixture ``place``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import pytest

from pipeline.cache.receipt import RECEIPT_LIMIT_BYTES
from pipeline.cache.store import BlobDamaged, BlobMissing, DestinationFailed, Store
from pipeline.digest import Digest, digest_from_bytes

if TYPE_CHECKING:
    from pathlib import Path

KEY = Digest("sha256", "ab" * 32)
OTHER_KEY = Digest("sha256", "cd" * 32)
DATA = bytes(range(256)) * 5000


class Place(Protocol):
    """A store, and a way past it to the bytes of a blob."""

    store: Store

    def overwrite_blob(self, digest: Digest, data: bytes) -> None:
        """Put other bytes where the blob lies."""

    def remove_blob(self, digest: Digest) -> None:
        """Take the blob away."""

    def add_foreign_names(self) -> None:
        """Put things beside blobs and receipts that have no name of ours."""


class StoreContract:
    """The laws of ``pipeline.cache.store`` as tests."""

    @pytest.fixture
    def store(self, place: Place) -> Store:
        return place.store

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        path = tmp_path / "source"
        path.write_bytes(DATA)
        return path

    def test_an_empty_place_has_nothing(self, store: Store) -> None:
        assert store.get_receipt("engine", KEY) is None
        assert store.blob_size(KEY) is None
        assert list(store.receipts()) == []
        assert list(store.blobs()) == []
        assert store.sweep(0) == 0
        store.mark_used("engine", KEY)
        store.delete_receipt("engine", KEY)
        assert not store.delete_blob(KEY, if_written_s=0)
        assert str(store)

    def test_a_receipt_is_read_as_it_was_written(self, store: Store) -> None:
        assert store.put_receipt("engine", KEY, b"first", replace=False)

        assert store.get_receipt("engine", KEY) == b"first"

    def test_the_first_of_two_receipts_wins(self, store: Store) -> None:
        store.put_receipt("engine", KEY, b"first", replace=False)

        assert not store.put_receipt("engine", KEY, b"second", replace=False)
        assert store.get_receipt("engine", KEY) == b"first"

    def test_a_repair_replaces_the_receipt(self, store: Store) -> None:
        store.put_receipt("engine", KEY, b"first", replace=False)

        assert store.put_receipt("engine", KEY, b"second", replace=True)
        assert store.get_receipt("engine", KEY) == b"second"

    def test_a_repair_creates_a_receipt_that_is_gone(self, store: Store) -> None:
        assert store.put_receipt("engine", KEY, b"second", replace=True)
        assert store.get_receipt("engine", KEY) == b"second"

    def test_of_many_writers_of_one_receipt_one_wins(self, store: Store) -> None:
        barrier, won = threading.Barrier(8), []

        def write(number: int) -> None:
            barrier.wait(30)
            if store.put_receipt("engine", KEY, f"writer {number}".encode(), replace=False):
                won.append(number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(won) == 1
        assert store.get_receipt("engine", KEY) == f"writer {won[0]}".encode()

    def test_receipts_of_two_kinds_do_not_meet(self, store: Store) -> None:
        store.put_receipt("engine", KEY, b"first", replace=False)

        assert store.get_receipt("check", KEY) is None
        assert [(kind, key) for kind, key, _ in store.receipts("check")] == []
        assert [(kind, key) for kind, key, _ in store.receipts("engin")] == []
        assert [(kind, key) for kind, key, _ in store.receipts("engine")] == [("engine", KEY)]
        assert [(kind, key) for kind, key, _ in store.receipts()] == [("engine", KEY)]

    def test_a_deleted_receipt_is_gone(self, store: Store) -> None:
        store.put_receipt("engine", KEY, b"first", replace=False)

        store.delete_receipt("engine", KEY)

        assert store.get_receipt("engine", KEY) is None
        assert list(store.receipts()) == []

    def test_a_receipt_that_grew_beyond_reason_is_not_read_whole(self, store: Store) -> None:
        store.put_receipt("engine", KEY, b"x" * (3 * RECEIPT_LIMIT_BYTES), replace=False)

        data = store.get_receipt("engine", KEY)

        assert data is not None
        assert len(data) == RECEIPT_LIMIT_BYTES + 1

    @pytest.mark.parametrize("size_bytes", [0, 1, len(DATA), (8 << 20) - 1, 8 << 20, (8 << 20) + 1, (17 << 20) + 5])
    def test_a_blob_comes_back_as_it_was(self, store: Store, tmp_path: Path, size_bytes: int) -> None:
        data = (DATA * (size_bytes // len(DATA) + 1))[:size_bytes]
        (tmp_path / "source").write_bytes(data)

        stored = store.put_blob(tmp_path / "source")
        store.fetch_blob(*stored, tmp_path / "out" / "copy")

        assert stored == (digest_from_bytes(data), size_bytes)
        assert (tmp_path / "out" / "copy").read_bytes() == data
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy"]
        assert store.blob_size(stored[0]) == size_bytes
        assert [(digest, found.size_bytes) for digest, found in store.blobs()] == [stored]
        store.check_blob(*stored)

    def test_editing_a_fetched_copy_does_not_reach_the_store(self, store: Store, source: Path, tmp_path: Path) -> None:
        stored = store.put_blob(source)
        store.fetch_blob(*stored, tmp_path / "copy")

        with (tmp_path / "copy").open("r+b") as file:
            file.write(b"edited")

        store.check_blob(*stored)

    @pytest.mark.parametrize("position", [0, len(DATA) // 2, len(DATA) - 1])
    def test_a_flipped_byte_is_found_and_nothing_is_handed_over(
        self, place: Place, source: Path, tmp_path: Path, position: int
    ) -> None:
        stored = place.store.put_blob(source)
        damaged = bytearray(DATA)
        damaged[position] ^= 1
        place.overwrite_blob(stored[0], bytes(damaged))

        with pytest.raises(BlobDamaged, match="have changed"):
            place.store.fetch_blob(*stored, tmp_path / "out" / "copy")

        assert list((tmp_path / "out").iterdir()) == []

    @pytest.mark.parametrize(
        ("data", "reason"),
        [(b"", "shorter"), (DATA[:-1], "shorter"), (DATA + b"x", "longer")],
        ids=["empty", "cut", "grown"],
    )
    def test_a_blob_of_another_length_is_damaged(
        self, place: Place, source: Path, tmp_path: Path, data: bytes, reason: str
    ) -> None:
        stored = place.store.put_blob(source)
        place.overwrite_blob(stored[0], data)

        with pytest.raises(BlobDamaged, match=reason):
            place.store.check_blob(*stored)
        with pytest.raises(BlobDamaged, match=reason):
            place.store.fetch_blob(*stored, tmp_path / "copy")

    def test_a_blob_that_is_gone_is_missing(self, place: Place, source: Path, tmp_path: Path) -> None:
        stored = place.store.put_blob(source)
        place.remove_blob(stored[0])

        with pytest.raises(BlobMissing):
            place.store.fetch_blob(*stored, tmp_path / "copy")
        with pytest.raises(BlobMissing):
            place.store.check_blob(*stored)
        assert place.store.blob_size(stored[0]) is None

    @pytest.mark.parametrize("data", [bytes(len(DATA)), DATA[1:]], ids=["other bytes", "another length"])
    def test_storing_a_blob_that_was_found_damaged_heals_it(self, place: Place, source: Path, data: bytes) -> None:
        stored = place.store.put_blob(source)
        place.overwrite_blob(stored[0], data)
        with pytest.raises(BlobDamaged):
            place.store.check_blob(*stored)

        place.store.put_blob(source)

        place.store.check_blob(*stored)

    def test_a_destination_that_cannot_be_written_is_not_the_fault_of_the_store(
        self, store: Store, source: Path, tmp_path: Path
    ) -> None:
        stored = store.put_blob(source)

        with pytest.raises(DestinationFailed):
            store.fetch_blob(*stored, tmp_path / "source" / "copy")

    def test_a_source_that_is_missing_is_the_fault_of_the_caller(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            store.put_blob(tmp_path / "missing")

    def test_names_that_are_nobodys_business_are_not_listed(self, place: Place, source: Path) -> None:
        digest, _ = place.store.put_blob(source)
        place.store.put_receipt("engine", KEY, b"first", replace=False)
        place.add_foreign_names()

        assert [(kind, key) for kind, key, _ in place.store.receipts()] == [("engine", KEY)]
        assert [found for found, _ in place.store.blobs()] == [digest]

    def test_listing_says_length_and_time(self, store: Store) -> None:
        store.put_receipt("engine", KEY, b"first", replace=False)

        stored = next(stored for _, _, stored in store.receipts())

        assert stored.size_bytes == 5
        assert stored.used_s == pytest.approx(time.time(), abs=60)

    def test_a_blob_unchanged_since_it_was_listed_is_deleted_once(self, store: Store, source: Path) -> None:
        digest, _ = store.put_blob(source)
        listed = next(stored for _, stored in store.blobs())

        assert store.delete_blob(digest, if_written_s=listed.used_s)
        assert not store.delete_blob(digest, if_written_s=listed.used_s)
        assert store.blob_size(digest) is None

    def test_a_blob_of_another_age_than_was_listed_is_not_deleted(self, store: Store, source: Path) -> None:
        stored = store.put_blob(source)
        listed = next(found for _, found in store.blobs())

        assert not store.delete_blob(stored[0], if_written_s=listed.used_s - 1)
        store.check_blob(*stored)
