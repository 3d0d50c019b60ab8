from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.cache.guard import StoreGuard
from pipeline.cache.local import LocalStore
from pipeline.cache.store import Extent, StoreFailed
from tests.support.clocks import Clock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(tmp_path: Path, clock: Clock) -> StoreGuard:
    return StoreGuard(LocalStore(tmp_path), required=False, monotonic=clock)


def test_a_store_that_never_failed_is_read_and_written(guard: StoreGuard) -> None:
    assert guard.to_read is guard.to_write is not None
    assert (guard.off, guard.trouble) == ("", "")


def test_a_store_that_failed_once_is_still_asked_and_told_of(guard: StoreGuard) -> None:
    assert guard.failed(StoreFailed("no answer", fix="plug it in"), 100.0) == "the cache failed: no answer"
    assert guard.to_read is not None
    assert guard.trouble == "the cache failed: no answer; plug it in"


def test_a_place_of_which_nothing_can_be_had_is_left_alone_at_once(guard: StoreGuard) -> None:
    said = guard.failed(StoreFailed("no such bucket", extent=Extent.PLACE), 100.0)
    assert said == guard.off == guard.trouble == "the cache is left alone: no such bucket"
    assert guard.to_read is None
    assert guard.to_write is None


def test_a_place_that_takes_nothing_is_only_read(guard: StoreGuard) -> None:
    said = guard.failed(StoreFailed("not allowed", extent=Extent.WRITES), 100.0)
    assert said == guard.trouble == "the cache is only read: not allowed"
    assert guard.to_read is not None
    assert guard.to_write is None


def test_a_store_that_cost_a_minute_in_vain_is_left_alone(guard: StoreGuard, clock: Clock) -> None:
    clock.now_s = 161.0
    guard.failed(StoreFailed("it hangs"), 100.0)
    assert guard.off == "the cache cost 61 s in vain and is left alone: it hangs"


def test_a_second_that_two_threads_wait_counts_once(guard: StoreGuard, clock: Clock) -> None:
    clock.now_s = 140.0
    guard.failed(StoreFailed("it hangs"), 100.0)
    clock.now_s = 141.0
    guard.failed(StoreFailed("it hangs"), 101.0)
    assert guard.off == ""


def test_the_failure_that_ended_its_use_stays_the_reason(guard: StoreGuard) -> None:
    for reason in ("first", "second", "third", "fourth"):
        guard.failed(StoreFailed(reason), 100.0)
    assert guard.off == guard.trouble == "the cache failed 3 times and is left alone: third"


def _is_open(guard: StoreGuard) -> bool:
    assert (guard.to_read is None) == (guard.to_write is None)
    return guard.to_read is not None


def test_a_store_that_only_failed_a_few_times_is_asked_again_after_a_rest(guard: StoreGuard, clock: Clock) -> None:
    for _ in range(3):
        guard.failed(StoreFailed("busy"), clock.now_s)
    clock.now_s += 299
    assert not _is_open(guard)
    clock.now_s += 1
    assert _is_open(guard)

    guard.failed(StoreFailed("busy"), clock.now_s)
    assert guard.trouble == "the cache failed 4 times and is left alone: busy"
    clock.now_s += 599
    assert not _is_open(guard)
    clock.now_s += 1
    assert _is_open(guard)


def test_a_call_that_was_under_way_when_the_rest_began_does_not_prolong_it(guard: StoreGuard, clock: Clock) -> None:
    for _ in range(4):
        guard.failed(StoreFailed("busy"), clock.now_s)
    clock.now_s += 300
    assert guard.to_read is not None


@pytest.mark.parametrize(
    ("failure", "took_s"), [(StoreFailed("no such bucket", extent=Extent.PLACE), 0.0), (StoreFailed("it hangs"), 61.0)]
)
def test_a_store_of_no_use_or_that_cost_too_much_is_never_asked_again(
    guard: StoreGuard, clock: Clock, failure: StoreFailed, took_s: float
) -> None:
    clock.now_s += took_s
    guard.failed(failure, clock.now_s - took_s)
    clock.now_s += 1e6
    assert guard.to_read is None


def test_what_failing_calls_cost_is_bounded_over_all_rests(guard: StoreGuard, clock: Clock) -> None:
    for _ in range(100):
        if guard.to_read is not None:
            clock.now_s += 10
            guard.failed(StoreFailed("it hangs"), clock.now_s - 10)
        clock.now_s += 3600
    assert guard.trouble == "the cache cost 60 s in vain and is left alone: it hangs"
