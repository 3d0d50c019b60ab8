from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from pipeline.cache.entries import read_entries
from pipeline.cache.local import LocalStore
from pipeline.cache.pruning import prune
from pipeline.cache.receipt import Blob, bytes_from_receipt
from pipeline.cache.verifying import verify_entries
from pipeline.digest import digest_from_bytes
from tests.support.aged_entries import DAY_S, NOW_S, add_entry, damage_blob, damaged_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.cache.receipt import Receipt
    from pipeline.digest import Digest

Item = TypeVar("Item")


def _subjects(store: LocalStore) -> list[str]:
    return sorted(entry.subject or "?" for entry in read_entries(store, now_s=NOW_S))


def test_an_absent_cache_has_nothing_to_prune(store: LocalStore) -> None:
    assert prune(store, now_s=NOW_S, keep_bytes=0).entries == ()


def test_a_damaged_receipt_is_listed_with_its_damage(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    path = store._receipt_path("engine", two[0].key.digest)
    path.chmod(0o644)
    path.write_bytes(b"damaged")

    damaged = [entry for entry in read_entries(store, now_s=NOW_S) if entry.damage]

    assert [(entry.key, entry.subject, entry.damage) for entry in damaged] == [
        (two[0].key.digest, "", "the receipt is damaged: it is malformed")
    ]


def test_a_missing_blob_that_is_shared_damages_every_entry(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    store._blob_path(two[0].blobs[1].digest).unlink()

    assert [entry.damage[:8] for entry in verify_entries(store, now_s=NOW_S)] == ["shared: ", "shared: "]


def test_pruning_without_limits_keeps_every_entry(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    pruned = prune(store, now_s=NOW_S)

    assert pruned.entries == ()
    assert pruned.freed_bytes == 0
    assert _subjects(store) == ["new", "old"]


def test_pruning_by_age_removes_what_was_long_unused_and_keeps_shared_blobs(
    store: LocalStore, two: tuple[Receipt, Receipt]
) -> None:
    pruned = prune(store, now_s=NOW_S, older_than_s=5 * DAY_S)

    assert [entry.key for entry in pruned.entries] == [two[0].key.digest]
    assert pruned.blobs == (two[0].blobs[0].digest,)
    assert pruned.freed_bytes == 3000 + pruned.entries[0].receipt_bytes
    assert _subjects(store) == ["new"]
    assert damaged_entries(store) == []


def test_pruning_by_size_removes_the_longest_unused_first(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    pruned = prune(store, now_s=NOW_S, keep_bytes=11_000)

    assert [entry.key for entry in pruned.entries] == [two[0].key.digest]
    assert pruned.kept_bytes <= 11_000
    assert _subjects(store) == ["new"]


def test_shared_blobs_count_once_towards_the_size(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    receipts = sum(entry.receipt_bytes for entry in read_entries(store, now_s=NOW_S))

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
    add_entry(store, tmp_path, "young", 0.01)

    pruned = prune(store, now_s=NOW_S, keep_bytes=0)

    assert pruned.kept_young == 1
    assert _subjects(store) == ["young"]
    assert damaged_entries(store) == []


def test_an_old_orphan_goes_and_a_young_one_may_belong_to_a_run(store: LocalStore, tmp_path: Path) -> None:
    for name, age_days in (("old", 1.0), ("young", 0.01)):
        (tmp_path / name).write_text(name)
        digest, _ = store.put_blob(tmp_path / name)
        used_s = NOW_S - age_days * DAY_S
        os.utime(store._blob_path(digest), (used_s, used_s))

    pruned = prune(store, now_s=NOW_S)

    assert pruned.blobs == (digest_from_bytes(b"old"),)
    assert [digest for digest, _ in store.blobs()] == [digest_from_bytes(b"young")]


def test_what_was_begun_hours_ago_may_still_be_sent_and_stays(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_s: list[float] = []

    def sweep(older_than_s: float) -> int:
        asked_s.append(older_than_s)
        return 0

    monkeypatch.setattr(store, "sweep", sweep)

    prune(store, now_s=NOW_S)

    assert asked_s == [DAY_S]


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
    damage_blob(store, add_entry(store, tmp_path, "young", 0.01))

    pruned = prune(store, now_s=NOW_S, damaged=True)

    assert len(pruned.entries) == 1
    assert _subjects(store) == []


def test_F37_an_entry_dated_far_in_the_future_is_not_immortal(store: LocalStore, tmp_path: Path) -> None:
    add_entry(store, tmp_path, "future", -100)

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
        add_entry(store, tmp_path, "old", 9)

    monkeypatch.setattr(LocalStore, "delete_receipt", delete_while_another_run_commits)

    prune(store, now_s=NOW_S, older_than_s=5 * DAY_S)

    assert _subjects(store) == ["new", "old"]
    assert damaged_entries(store) == []


class Lagging(LocalStore):
    """Notes a use only when a receipt is a day old, as a bucket does."""

    use_lag_s = DAY_S


def test_where_uses_are_noted_late_what_may_have_been_used_just_now_stays(tmp_path: Path) -> None:
    store = Lagging(tmp_path / "cache")
    add_entry(store, tmp_path, "today", 0.9)
    add_entry(store, tmp_path, "before", 2)

    pruned = prune(store, now_s=NOW_S, keep_bytes=0)

    assert [entry.subject for entry in pruned.entries] == ["before"]
    assert pruned.kept_young == 1


def test_only_receipts_that_changed_are_read_again_before_blobs_go(
    store: LocalStore, two: tuple[Receipt, Receipt], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    get_receipt = LocalStore.get_receipt

    def counted(self: LocalStore, kind: str, key: Digest) -> bytes | None:
        reads.append(key)
        return get_receipt(self, kind, key)

    monkeypatch.setattr(LocalStore, "get_receipt", counted)

    prune(store, now_s=NOW_S, older_than_s=5 * DAY_S)

    assert sorted(reads) == sorted(receipt.key.digest for receipt in two)


def test_a_receipt_that_was_replaced_meanwhile_is_read_again(
    store: LocalStore, two: tuple[Receipt, Receipt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new blobs are old ones that nobody else names."""
    (tmp_path / "again").write_text("again" * 100)
    digest, size_bytes = store.put_blob(tmp_path / "again")
    os.utime(store._blob_path(digest), (NOW_S - 9 * DAY_S,) * 2)
    delete = LocalStore.delete_receipt

    def delete_while_another_run_repairs(self: LocalStore, kind: str, key: Digest) -> None:
        delete(self, kind, key)
        repaired = replace(two[1], blobs=(Blob("own", digest, size_bytes),))
        store.put_receipt(kind, two[1].key.digest, bytes_from_receipt(repaired), replace=True)

    monkeypatch.setattr(LocalStore, "delete_receipt", delete_while_another_run_repairs)

    pruned = prune(store, now_s=NOW_S, older_than_s=5 * DAY_S)

    assert digest not in pruned.blobs
    assert damaged_entries(store) == []


def test_pruning_shows_how_far_it_has_come(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    labels = []

    def watch(label: str, items: Iterable[Item], /) -> Iterator[Item]:
        labels.append(label)
        return iter(items)

    prune(store, now_s=NOW_S, keep_bytes=0, watch=watch)

    assert labels == [
        "reading receipts",
        "looking for entries in use",
        "removing entries",
        "looking for new entries",
        "looking through blobs",
    ]


@pytest.mark.parametrize("damaged", [False, True])
def test_an_entry_that_is_used_while_the_rest_is_read_stays(
    store: LocalStore, two: tuple[Receipt, Receipt], *, damaged: bool
) -> None:
    def use_at_the_end(label: str, items: Iterable[Item], /) -> Iterator[Item]:
        yield from items
        if label.startswith("reading"):
            os.utime(store._receipt_path("engine", two[0].key.digest), (NOW_S + 60, NOW_S + 60))

    pruned = prune(store, now_s=NOW_S, keep_bytes=0, damaged=damaged, watch=use_at_the_end)

    assert [entry.subject for entry in pruned.entries] == ["new"]
    assert pruned.kept_young == 1
    assert _subjects(store) == ["old"]
    assert damaged_entries(store) == []


def test_a_damaged_entry_that_is_replaced_while_the_rest_is_read_stays(
    store: LocalStore, two: tuple[Receipt, Receipt], tmp_path: Path
) -> None:
    damage_blob(store, two[0])

    def repair_at_the_end(label: str, items: Iterable[Item], /) -> Iterator[Item]:
        yield from items
        if label.startswith("reading"):
            add_entry(store, tmp_path, "old", 0)

    pruned = prune(store, now_s=NOW_S, damaged=True, watch=repair_at_the_end)

    assert pruned.entries == ()
    assert _subjects(store) == ["new", "old"]
