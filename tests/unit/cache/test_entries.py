from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.entries import read_ahead, read_entries, unwatched
from tests.support.aged_entries import DAY_S, NOW_S, add_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.cache.local import LocalStore
    from pipeline.cache.receipt import Receipt


def test_an_absent_cache_is_empty(store: LocalStore) -> None:
    assert list(read_entries(store, now_s=NOW_S)) == []


def test_entries_are_read_with_subject_size_and_age(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    found = {entry.subject: entry for entry in read_entries(store, now_s=NOW_S)}

    assert found.keys() == {"old", "new"}
    old = found["old"]
    assert (old.key, old.blobs, old.created) == (two[0].key.digest, two[0].blobs, two[0].created)
    assert old.age_s == pytest.approx(10 * DAY_S)
    assert old.size_bytes == old.receipt_bytes + 9000
    assert old.duration_s == 1
    assert old.damage == ""


def test_a_damaged_receipt_is_an_entry_with_its_damage(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    path = store._receipt_path("engine", two[0].key.digest)
    path.chmod(0o644)
    path.write_bytes(b"damaged")

    damaged = [entry for entry in read_entries(store, now_s=NOW_S) if entry.damage]

    assert [(entry.key, entry.blobs, entry.damage) for entry in damaged] == [
        (two[0].key.digest, (), "the receipt is damaged: it is malformed")
    ]


def test_an_entry_that_goes_while_it_is_read_is_left_out(store: LocalStore, two: tuple[Receipt, Receipt]) -> None:
    listed = list(store.receipts())
    store.delete_receipt("engine", two[0].key.digest)

    assert [entry.subject for entry in read_entries(store, now_s=NOW_S, listed=listed)] == ["new"]


def test_an_entry_dated_in_the_future_has_an_age(store: LocalStore, tmp_path: Path) -> None:
    add_entry(store, tmp_path, "future", -3)

    assert [entry.age_s for entry in read_entries(store, now_s=NOW_S)] == [pytest.approx(3 * DAY_S)]


def test_reading_ahead_keeps_the_order() -> None:
    slow = threading.Event()

    def read(number: int) -> int:
        if number == 0:
            slow.wait(60)
        if number == 3:
            slow.set()
        return number * number

    assert list(read_ahead(read, range(100), threads=4)) == [number * number for number in range(100)]


def test_reading_ahead_takes_only_a_few_items_before_it_is_asked() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    results = read_ahead(lambda number: number, items(), threads=2)

    assert next(results) == 0
    assert taken <= 8


def test_reading_ahead_ends_where_the_reader_stops() -> None:
    begun: list[int] = []
    results = read_ahead(begun.append, range(1000), threads=2)
    next(results)

    results.close()  # type: ignore[attr-defined]

    assert len(begun) <= 8


def test_an_error_while_reading_ahead_is_raised_in_its_place() -> None:
    def read(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = read_ahead(read, range(10), threads=2)

    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_unwatched_items_are_handed_on() -> None:
    assert list(unwatched("reading", [1, 2])) == [1, 2]
