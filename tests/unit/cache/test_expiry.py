from __future__ import annotations

import pytest

from pipeline.cache.expiry import DAY_S, Expiry, expired
from pipeline.cache.receipt import Receipt
from pipeline.keys import key_from_ingredients

NOW_S = 1_700_000_000.0
"""2023-11-14T22:13:20Z."""

EXPIRY = Expiry(30 * DAY_S, now=lambda: NOW_S)


def receipt(created: str) -> Receipt:
    key = key_from_ingredients("engine", {"model": "m"})
    return Receipt(key=key, subject="digits", blobs=(), metadata={}, created=created, tool="0.1.0")


@pytest.mark.parametrize("created", ["2023-11-14T22:13:20Z", "2023-10-15T22:13:20Z", "2023-11-14T23:13:20Z"])
def test_what_is_young_enough_is_believed(created: str) -> None:
    assert EXPIRY.fault(receipt(created)) == ""


def test_what_is_too_old_has_expired() -> None:
    assert EXPIRY.fault(receipt("2023-10-15T22:13:19Z")) == (
        "expired: made 2023-10-15T22:13:19Z, more than 30 days ago"
    )


def test_a_date_that_is_yet_to_come_does_not_keep_an_entry_alive() -> None:
    assert "yet to come" in EXPIRY.fault(receipt("2999-01-01T00:00:00Z"))


@pytest.mark.parametrize("created", ["", "yesterday", "2023-11-14", "2023-02-30T00:00:00Z"])
def test_what_has_no_date_has_expired(created: str) -> None:
    assert "is no date" in EXPIRY.fault(receipt(created))


def test_nothing_expires_where_nobody_asks_for_it() -> None:
    assert expired(None, receipt("1970-01-01T00:00:00Z")) == ""


def test_part_of_a_day_is_told_as_such() -> None:
    assert "more than 0.5 days ago" in Expiry(DAY_S / 2, now=lambda: NOW_S).fault(receipt("2023-11-14T00:00:00Z"))
