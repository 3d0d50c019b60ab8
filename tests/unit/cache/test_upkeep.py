from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.cache.upkeep import list_entries, prune, verify_entries
from pipeline.digest import digest_from_bytes
from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cache.receipt import Receipt

NOW_S = 1_700_000_000.0
DAY_S = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "cache")


@pytest.fixture
def two(store: LocalStore, tmp_path: Path) -> tuple[Receipt, Receipt]:
    """An entry used ten days ago and one used two days ago; they share the blob ``shared``."""
    return _entry(store, tmp_path, "old", 10), _entry(store, tmp_path, "new", 2)


def _entry(store: LocalStore, tmp_path: Path, name: str, age_days: float) -> Receipt:
    files = {}
    for file, data in (("own", name * 1000), ("shared", "shared" * 1000)):
        files[file] = tmp_path / f"{name}.{file}"
        files[file].write_text(data)
    key = key_from_ingredients("engine", {"name": name})
    receipt = ContentCache(store).commit(key, name, files, {"duration_s": 1}).receipt
    used_s = NOW_S - age_days * DAY_S
    os.utime(store._receipt_path("engine", key.digest), (used_s, used_s))
    for blob in receipt.blobs:
        os.utime(store._blob_path(blob.digest), (used_s, used_s))
    return receipt


def _subjects(store: LocalStore) -> list[str]:
    return [entry.receipt.subject if entry.receipt else "?" for entry in list_entries(store, now_s=NOW_S)]


def _damage(store: LocalStore, receipt: Receipt) -> None:
    path = store._blob_path(receipt.blobs[0].digest)
    stat = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"x" * receipt.blobs[0].size_bytes)
    os.utime(path, (stat.st_mtime, stat.st_mtime))


def test_an_absent_cache_is_empty_and_sound(store: LocalStore) -> None:
    assert list_entries(store, now_s=NOW_S) == ()
    assert verify_entries(store, now_s=NOW_S).entries == ()
    assert prune(store, now_s=NOW_S, keep_bytes=0).entries == ()


def test_entries_are_listed_with_subject_size_and_age(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    new, old = list_entries(store, now_s=NOW_S)

    assert (new.receipt, old.receipt) == (two[1], two[0])
    assert old.age_s == pytest.approx(10 * DAY_S)
    assert old.size_bytes == old.receipt_bytes + 9000
    assert old.damage == ""


def test_a_damaged_receipt_is_listed_with_its_damage(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    path = store._receipt_path("engine", two[0].key.digest)
    path.chmod(0o644)
    path.write_bytes(b"damaged")

    damaged = [entry for entry in list_entries(store, now_s=NOW_S) if entry.damage]

    assert [(entry.key, entry.receipt, entry.damage) for entry in damaged] == [
        (two[0].key.digest, None, "the receipt is damaged: it is malformed")
    ]


def test_a_sound_cache_verifies(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    verified = verify_entries(store, now_s=NOW_S)

    assert len(verified.entries) == 2
    assert verified.damaged == ()
    assert verified.orphans == ()


def test_a_changed_blob_is_found_by_verifying(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    _damage(store, two[0])

    (damaged,) = verify_entries(store, now_s=NOW_S).damaged

    assert damaged.receipt == two[0]
    assert damaged.damage.startswith("own: the bytes of blob")


def test_a_missing_blob_that_is_shared_damages_every_entry(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    store._blob_path(two[0].blobs[1].digest).unlink()

    assert [entry.damage[:8] for entry in verify_entries(store, now_s=NOW_S).damaged] == ["shared: ", "shared: "]


def test_a_blob_that_no_receipt_names_is_an_orphan(
    store: LocalStore, two: tuple[Receipt, Receipt], tmp_path: Path
) -> None:
    (tmp_path / "lonely").write_bytes(b"lonely")
    store.put_blob(tmp_path / "lonely")

    (orphan,) = verify_entries(store, now_s=NOW_S).orphans

    assert orphan.digest == digest_from_bytes(b"lonely")
    assert orphan.size_bytes == 6


def test_pruning_without_limits_keeps_every_entry(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    pruned = prune(store, now_s=NOW_S)

    assert pruned.entries == ()
    assert pruned.freed_bytes == 0
    assert _subjects(store) == ["new", "old"]


def test_pruning_by_age_removes_what_was_long_unused_and_keeps_shared_blobs(
    store: LocalStore, two: tuple[Receipt, Receipt]
) -> None:
    pruned = prune(store, now_s=NOW_S, older_than_s=5 * DAY_S)

    assert [entry.receipt for entry in pruned.entries] == [two[0]]
    assert pruned.blobs == (two[0].blobs[0].digest,)
    assert pruned.freed_bytes == 3000 + pruned.entries[0].receipt_bytes
    assert _subjects(store) == ["new"]
    assert verify_entries(store, now_s=NOW_S).damaged == ()


def test_pruning_by_size_removes_the_longest_unused_first(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    pruned = prune(store, now_s=NOW_S, keep_bytes=11_000)

    assert [entry.receipt for entry in pruned.entries] == [two[0]]
    assert pruned.kept_bytes <= 11_000
    assert _subjects(store) == ["new"]


def test_shared_blobs_count_once_towards_the_size(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    receipts = sum(entry.receipt_bytes for entry in list_entries(store, now_s=NOW_S))

    assert prune(store, now_s=NOW_S, keep_bytes=12_000 + receipts).entries == ()
    assert len(prune(store, now_s=NOW_S, keep_bytes=12_000 + receipts - 1).entries) == 1


def test_keeping_no_bytes_empties_the_cache(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    pruned = prune(store, now_s=NOW_S, keep_bytes=0)

    assert len(pruned.entries) == 2
    assert pruned.kept_bytes == 0
    assert list(store.blobs()) == []


def test_a_dry_run_says_the_same_and_removes_nothing(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    dry = prune(store, now_s=NOW_S, older_than_s=5 * DAY_S, dry_run=True)

    assert _subjects(store) == ["new", "old"]
    assert len(list(store.blobs())) == 3
    wet = prune(store, now_s=NOW_S, older_than_s=5 * DAY_S)
    assert (dry.entries, dry.blobs, dry.freed_bytes, dry.kept_bytes) == (
        wet.entries,
        wet.blobs,
        wet.freed_bytes,
        wet.kept_bytes,
    )


def test_what_was_used_just_now_stays_and_is_counted(store: LocalStore, tmp_path: Path) -> None:
    _entry(store, tmp_path, "young", 0.01)

    pruned = prune(store, now_s=NOW_S, keep_bytes=0)

    assert pruned.kept_young == 1
    assert _subjects(store) == ["young"]
    assert verify_entries(store, now_s=NOW_S).damaged == ()


def test_an_old_orphan_goes_and_a_young_one_may_belong_to_a_run(store: LocalStore, tmp_path: Path) -> None:
    for name, age_days in (("old", 1.0), ("young", 0.01)):
        (tmp_path / name).write_text(name)
        digest, _ = store.put_blob(tmp_path / name)
        used_s = NOW_S - age_days * DAY_S
        os.utime(store._blob_path(digest), (used_s, used_s))

    pruned = prune(store, now_s=NOW_S)

    assert pruned.blobs == (digest_from_bytes(b"old"),)
    assert [digest for digest, _ in store.blobs()] == [digest_from_bytes(b"young")]


def test_orphans_stay_where_only_entries_are_to_go(
    store: LocalStore, two: tuple[Receipt, Receipt], tmp_path: Path
) -> None:
    (tmp_path / "lonely").write_bytes(b"lonely")
    digest, _ = store.put_blob(tmp_path / "lonely")
    os.utime(store._blob_path(digest), (0, 0))

    pruned = prune(store, now_s=NOW_S, keep_bytes=0, unreachable=False)

    assert len(pruned.blobs) == 3
    assert [found for found, _ in store.blobs()] == [digest]


def test_damaged_entries_go_when_asked_whatever_their_age(store: LocalStore, tmp_path: Path) -> None:
    _damage(store, _entry(store, tmp_path, "young", 0.01))

    pruned = prune(store, now_s=NOW_S, damaged=True)

    assert len(pruned.entries) == 1
    assert _subjects(store) == []


def test_an_entry_dated_far_in_the_future_is_not_immortal(store: LocalStore, tmp_path: Path) -> None:
    _entry(store, tmp_path, "future", -100)

    assert len(prune(store, now_s=NOW_S, older_than_s=5 * DAY_S).entries) == 1


def test_a_foreign_folder_in_the_place_of_a_receipt_is_pruned_as_damage(
    store: LocalStore, two: tuple[Receipt, Receipt]
) -> None:
    path = store._receipt_path("engine", two[0].key.digest)
    path.unlink()
    path.mkdir()

    pruned = prune(store, now_s=NOW_S, damaged=True)

    assert [entry.key for entry in pruned.entries] == [two[0].key.digest]
    assert _subjects(store) == ["new"]


def test_a_commit_between_listing_and_removal_keeps_its_blobs(
    store: LocalStore, two: tuple[Receipt, Receipt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = LocalStore.delete_receipt

    def delete_while_another_run_commits(self: LocalStore, kind: str, key: object) -> None:
        monkeypatch.setattr(LocalStore, "delete_receipt", delete)
        delete(self, kind, two[0].key.digest)
        _entry(store, tmp_path, "old", 9)

    monkeypatch.setattr(LocalStore, "delete_receipt", delete_while_another_run_commits)

    prune(store, now_s=NOW_S, older_than_s=5 * DAY_S)

    assert _subjects(store) == ["new", "old"]
    assert verify_entries(store, now_s=NOW_S).damaged == ()
