"""An entry that is of no more use is replaced, and only if it is still the one that was read."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.answers import Commit, Hit, Miss
from pipeline.cache.content import ContentCache
from pipeline.cache.expiry import DAY_S, Expiry
from pipeline.cache.store import replace_receipt
from pipeline.keys import key_from_ingredients
from tests.support.faulty_proxy import Fault, times
from tests.support.s3_places import S3Place

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.ceph import Gateway
    from tests.support.faulty_proxy import FaultyProxy

KEY = key_from_ingredients("engine", {"model": "m"})
SUBJECT = "digits"
RACERS = 4


def younger_than_a_month(place: S3Place) -> ContentCache:
    return ContentCache(place.store, expiry=Expiry(30 * DAY_S))


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "plan"
    path.write_bytes(b"plan" * 1000)
    return {"engine.plan": path}


@pytest.fixture
def old(place: S3Place, engine: dict[str, Path]) -> Hit:
    """The entry of ``engine``, made two months ago."""
    committed = ContentCache(place.store, now=lambda: time.time() - 60 * DAY_S).commit(KEY, SUBJECT, engine, {})
    engine["engine.plan"].write_bytes(b"anew" * 1000)
    return Hit(committed.receipt)


def test_an_entry_that_expired_is_missed_and_replaced_on_condition_that_it_is_still_the_same(
    faulty: S3Place, proxy: FaultyProxy, old: Hit, engine: dict[str, Path]
) -> None:
    cache = younger_than_a_month(faulty)

    found = cache.lookup(KEY, SUBJECT)
    assert isinstance(found, Miss)
    assert found.nearest == old.receipt
    committed = cache.commit(KEY, SUBJECT, engine, {})

    assert committed.outcome is Commit.REPLACED
    assert younger_than_a_month(faulty).lookup(KEY, SUBJECT) == Hit(committed.receipt)
    conditions = [
        {name.lower() for name in request.headers} & {"if-match", "if-none-match"}
        for request in proxy.requests
        if request.is_for("PUT", "/receipt/")
    ]
    assert conditions == [{"if-none-match"}, {"if-match"}]


def test_of_runs_that_replace_an_entry_at_once_one_wins_and_the_others_use_what_it_made(
    place: S3Place, gateway: Gateway, old: Hit, tmp_path: Path
) -> None:
    barrier = threading.Barrier(RACERS)

    def race(number: int) -> tuple[Commit, str]:
        with S3Place(gateway.endpoint_url, prefix=place.prefix) as racer:
            path = tmp_path / f"plan-{number}"
            path.write_bytes(f"{number}".encode() * 4000)
            cache = younger_than_a_month(racer)
            assert isinstance(cache.lookup(KEY, SUBJECT), Miss)
            barrier.wait(30)
            committed = cache.commit(KEY, SUBJECT, {"engine.plan": path}, {})
            return committed.outcome, str(committed.receipt.blobs[0].digest)

    with ThreadPoolExecutor(RACERS) as pool:
        raced = list(pool.map(race, range(RACERS)))

    outcomes = [outcome for outcome, _ in raced]
    assert outcomes.count(Commit.REPLACED) == 1
    assert outcomes.count(Commit.ADOPTED) == RACERS - 1
    standing = younger_than_a_month(place).lookup(KEY, SUBJECT)
    assert isinstance(standing, Hit)
    assert (
        {digest for _, digest in raced} == {str(standing.receipt.blobs[0].digest)} != {str(old.receipt.blobs[0].digest)}
    )


def test_a_server_that_replaces_without_conditions_only_is_asked_to_do_that(
    faulty: S3Place, proxy: FaultyProxy, old: Hit, engine: dict[str, Path]
) -> None:
    def refusing(request: object) -> Fault | None:
        headers = {name.lower() for name in getattr(request, "headers", {})}
        return Fault(status=501, code="NotImplemented") if "if-match" in headers else None

    proxy.script = refusing

    committed = younger_than_a_month(faulty).commit(KEY, SUBJECT, engine, {})

    assert committed.outcome is Commit.REPLACED
    assert committed.receipt != old.receipt


def test_a_server_that_creates_nothing_on_conditions_fails_as_such(
    faulty: S3Place, proxy: FaultyProxy, engine: dict[str, Path]
) -> None:
    proxy.script = times(1, Fault(status=501, code="NotImplemented"), "PUT", "/receipt/")

    committed = younger_than_a_month(faulty).commit(KEY, SUBJECT, engine, {})

    assert committed.outcome is Commit.UNSTORED
    assert "NotImplemented" in committed.warnings[0]


def test_a_replacement_whose_answer_was_lost_is_known_to_stand(
    faulty: S3Place, proxy: FaultyProxy, old: Hit, engine: dict[str, Path]
) -> None:
    proxy.script = lambda request: (
        Fault(lose=True) if "If-Match" in request.headers and proxy.count("PUT", "/receipt/") == 2 else None
    )

    committed = younger_than_a_month(faulty).commit(KEY, SUBJECT, engine, {})

    assert committed.outcome is Commit.REPLACED
    assert committed.receipt.blobs != old.receipt.blobs
    assert proxy.count("PUT", "/receipt/") == 3


def test_an_entry_that_was_removed_meanwhile_is_created(
    faulty: S3Place, place: S3Place, proxy: FaultyProxy, old: Hit, engine: dict[str, Path]
) -> None:
    remove = Fault(before=lambda: place.store.delete_receipt(KEY.kind, KEY.digest))
    proxy.script = lambda request: remove if "If-Match" in request.headers else None

    committed = younger_than_a_month(faulty).commit(KEY, SUBJECT, engine, {})

    assert committed.outcome is Commit.STORED
    assert committed.receipt.blobs != old.receipt.blobs


def test_what_is_replaced_unread_is_asked_for_first(faulty: S3Place, proxy: FaultyProxy) -> None:
    first, second, third = (b"%d" % number for number in range(3))
    assert faulty.store.put_receipt("engine", KEY.digest, first, replace=True)
    with S3Place(proxy.endpoint_url, prefix=faulty.prefix) as other:
        assert other.store.put_receipt("engine", KEY.digest, second, replace=True)

    assert [request.method for request in proxy.requests] == ["HEAD", "PUT", "HEAD", "PUT"]
    assert not faulty.store.put_receipt("engine", KEY.digest, third, replace=True)
    assert faulty.store.get_receipt("engine", KEY.digest) == second
    assert faulty.store.put_receipt("engine", KEY.digest, third, replace=True)


def test_what_was_not_there_when_it_was_looked_for_takes_the_place_of_nothing(place: S3Place, gateway: Gateway) -> None:
    assert place.store.get_receipt("timing", KEY.digest) is None
    with S3Place(gateway.endpoint_url, prefix=place.prefix) as other:
        assert other.store.put_receipt("timing", KEY.digest, b"theirs", replace=True)

    assert not place.store.put_receipt("timing", KEY.digest, b"ours", replace=True)
    assert place.store.get_receipt("timing", KEY.digest) == b"theirs"
    assert place.store.put_receipt("timing", KEY.digest, b"theirs and ours", replace=True)


def test_a_receipt_takes_the_place_of_whatever_is_there(place: S3Place, gateway: Gateway) -> None:
    assert place.store.get_receipt("engine", KEY.digest) is None
    replace_receipt(place.store, "engine", KEY.digest, b"ours")
    with S3Place(gateway.endpoint_url, prefix=place.prefix) as other:
        replace_receipt(other.store, "engine", KEY.digest, b"theirs")

    replace_receipt(place.store, "engine", KEY.digest, b"ours again")

    assert place.store.get_receipt("engine", KEY.digest) == b"ours again"
