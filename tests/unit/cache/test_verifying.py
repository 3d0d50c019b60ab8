from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.cache.blob_set import BlobSet
from pipeline.cache.local import LocalStore
from pipeline.cache.verifying import find_orphans, verify_entries
from pipeline.digest import digest_from_bytes
from tests.support.aged_entries import NOW_S, damage_blob, damaged_entries

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pipeline.cache.receipt import Receipt
    from pipeline.digest import Digest


def test_an_absent_cache_is_sound(store: LocalStore) -> None:
    assert list(verify_entries(store, now_s=NOW_S)) == []


def test_a_sound_cache_verifies(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    verified = list(verify_entries(store, now_s=NOW_S))

    assert [entry.damage for entry in verified] == ["", ""]
    named = BlobSet()
    for entry in verified:
        named.add(entry.blobs)
    assert list(find_orphans(store, named, now_s=NOW_S)) == []


def test_a_changed_blob_is_found(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    damage_blob(store, two[0])

    (damaged,) = damaged_entries(store)

    assert damaged.key == two[0].key.digest
    assert damaged.damage.startswith("own: the bytes of blob")


def test_a_missing_blob_that_is_shared_damages_every_entry(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    store._blob_path(two[0].blobs[1].digest).unlink()

    assert [entry.damage[:8] for entry in damaged_entries(store)] == ["shared: ", "shared: "]


def test_a_blob_that_several_entries_name_is_read_once(
    store: LocalStore, two: tuple[Receipt, Receipt], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, lock = [], threading.Lock()

    def check_blob(_self: LocalStore, digest: Digest, _size_bytes: int) -> None:
        with lock:
            reads.append(digest)

    monkeypatch.setattr(LocalStore, "check_blob", check_blob)

    list(verify_entries(store, now_s=NOW_S))

    assert sorted(reads) == sorted({blob.digest for receipt in two for blob in receipt.blobs})


def test_a_blob_that_no_receipt_names_is_an_orphan(
    store: LocalStore, two: tuple[Receipt, Receipt], tmp_path: Path
) -> None:
    (tmp_path / "lonely").write_bytes(b"lonely")
    store.put_blob(tmp_path / "lonely")
    named = BlobSet()
    for receipt in two:
        named.add(receipt.blobs)

    (orphan,) = find_orphans(store, named, now_s=NOW_S)

    assert orphan.digest == digest_from_bytes(b"lonely")
    assert orphan.size_bytes == 6
