from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from pipeline.cache.local import LocalStore
from pipeline.cache.neighbours import Neighbours
from pipeline.cache.receipt import Receipt, bytes_from_receipt
from pipeline.cache.store import StoreFailed
from pipeline.keys import Ingredient, key_from_ingredients

if TYPE_CHECKING:
    from pathlib import Path

BASE: dict[str, Ingredient] = {"version": "1.6.1", "opt": 8, "model": "a"}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "cache")


def _receipt(*, subject: str = "s", kind: str = "engine", day: int = 1, **changes: Ingredient) -> Receipt:
    return Receipt(
        key=key_from_ingredients(kind, BASE | changes),
        subject=subject,
        blobs=(),
        metadata={},
        created=f"2026-01-{day:02}T00:00:00Z",
        tool="0.1.0",
    )


def _stored(store: LocalStore, receipt: Receipt) -> Receipt:
    store.put_receipt(receipt.key.kind, receipt.key.digest, bytes_from_receipt(receipt), replace=False)
    return receipt


def test_the_fewest_differing_ingredients_are_nearest(store: LocalStore) -> None:
    _stored(store, _receipt(version="1.5", opt=4))
    nearest = _stored(store, _receipt(version="1.5"))
    _stored(store, _receipt(version="1.5", model="b"))

    assert Neighbours(store).nearest(_receipt().key, "s") == nearest


def test_of_equally_near_entries_the_newest_is_nearest(store: LocalStore) -> None:
    _stored(store, _receipt(version="1.5", day=2))
    nearest = _stored(store, _receipt(version="1.6.0", day=3))
    _stored(store, _receipt(version="1.4", day=1))

    assert Neighbours(store).nearest(_receipt().key, "s") == nearest


def test_other_subjects_and_kinds_are_no_neighbours(store: LocalStore) -> None:
    _stored(store, _receipt(subject="other", opt=4))
    _stored(store, _receipt(kind="check", opt=4))

    assert Neighbours(store).nearest(_receipt().key, "s") is None


@pytest.mark.parametrize("data", [b"", b"damaged"])
def test_a_damaged_receipt_is_no_neighbour(store: LocalStore, data: bytes) -> None:
    store.put_receipt("engine", _receipt(opt=4).key.digest, data, replace=False)

    assert Neighbours(store).nearest(_receipt().key, "s") is None


def test_what_was_learnt_is_a_neighbour_before_and_after_the_first_question(store: LocalStore) -> None:
    neighbours = Neighbours(store)
    neighbours.learn(_stored(store, _receipt(opt=4, version="1.5")))
    assert neighbours.nearest(_receipt().key, "s") == _receipt(opt=4, version="1.5")

    neighbours.learn(_receipt(opt=4))

    assert neighbours.nearest(_receipt().key, "s") == _receipt(opt=4)


def test_what_was_learnt_replaces_what_was_read_under_its_key(store: LocalStore) -> None:
    _stored(store, _receipt(opt=4))
    neighbours = Neighbours(store)
    neighbours.nearest(_receipt().key, "s")

    neighbours.learn(_receipt(opt=4, subject="renamed"))

    assert neighbours.nearest(_receipt().key, "s") is None


def test_a_place_that_cannot_be_listed_is_listed_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def refused(kind: str | None = None) -> NoReturn:
        asked.append(kind)
        raise StoreFailed("no answer")

    monkeypatch.setattr(store, "receipts", refused)
    neighbours = Neighbours(store)

    with pytest.raises(StoreFailed):
        neighbours.nearest(_receipt().key, "s")

    assert neighbours.nearest(_receipt(kind="check").key, "s") is None
    assert asked == ["engine"]
