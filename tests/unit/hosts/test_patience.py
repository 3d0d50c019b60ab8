from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hosts.conversation import OutOfTime
from pipeline.hosts.patience import Patience, limit_wait_s

NOW_S = 1_900_000_000.0


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        self.now_s += wait_s


def wait_of(status: int, text: str = "", refusals: int = 0, **headers: str) -> float | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return limit_wait_s(status, named, text, now_s=NOW_S, refusals=refusals)


def test_an_answer_that_is_no_refusal_asks_for_no_wait() -> None:
    assert wait_of(200, retry_after="5") is None
    assert wait_of(500, retry_after="5") is None


def test_a_403_without_a_word_of_limits_is_a_matter_of_rights() -> None:
    assert wait_of(403, "Resource not accessible by integration", x_ratelimit_remaining="4999") is None


@pytest.mark.parametrize("status", [403, 429])
def test_retry_after_is_obeyed_to_the_second(status: int) -> None:
    assert wait_of(status, retry_after="17") == 17.0


def test_retry_after_may_be_a_date_which_is_read_by_the_hosts_own_clock() -> None:
    date, later = "Fri, 01 Jan 2100 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:42 GMT"
    assert wait_of(429, retry_after=later, date=date) == 42.0


def test_the_primary_limit_lasts_until_its_reset() -> None:
    assert wait_of(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(NOW_S) + 33)) == 33.0
    assert wait_of(429, ratelimit_remaining="0", ratelimit_reset=str(int(NOW_S) + 33)) == 33.0


def test_a_secondary_limit_that_says_nothing_more_lasts_a_minute_and_then_longer() -> None:
    text = "You have exceeded a secondary rate limit."
    assert [wait_of(403, text, refusals) for refusals in range(3)] == [60.0, 120.0, 240.0]
    assert wait_of(429) == 60.0


@pytest.mark.parametrize("bad", ["soon", "-5", "", "1e9", "Fri, 99 Foo 2100 00:00:00 GMT", "٣", "9" * 400])
def test_a_bad_date_is_a_minute(bad: str) -> None:
    assert wait_of(429, retry_after=bad) == 60.0


def test_a_reset_that_is_past_or_unreadable_is_a_minute() -> None:
    assert wait_of(403, x_ratelimit_remaining="0", x_ratelimit_reset="1") == 60.0
    assert wait_of(403, x_ratelimit_remaining="0", x_ratelimit_reset="tomorrow") == 60.0
    assert wait_of(403, x_ratelimit_remaining="0") == 60.0


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_the_headers_hold_the_wait_is_some_seconds(after: str, reset: str, date: str, text: str) -> None:
    headers = {"retry-after": after, "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset, "date": date}
    wait_s = limit_wait_s(429, headers, text, now_s=NOW_S)
    assert wait_s is not None
    assert wait_s >= 0


def test_waits_add_up_to_the_budget_and_no_further() -> None:
    clock = Clock()
    patience = Patience(100.0, clock=clock, sleep=clock.sleep)
    patience.wait(60.0, "limited")
    with pytest.raises(OutOfTime, match=r"limited, to be repeated in 60\.0 s, and 40\.0 s are left for it"):
        patience.wait(60.0, "limited")
    assert clock.slept == [60.0]


def test_a_wait_that_the_budget_cannot_bear_is_not_begun() -> None:
    clock = Clock()
    with pytest.raises(OutOfTime):
        Patience(100.0, clock=clock, sleep=clock.sleep).wait(3600.0, "limited")
    assert clock.slept == []


def test_a_wait_is_told_before_it_begins_and_a_short_one_is_not() -> None:
    clock = Clock()
    told: list[tuple[str, int]] = []
    patience = Patience(100.0, clock=clock, sleep=clock.sleep, say=lambda text: told.append((text, len(clock.slept))))
    patience.wait(1.0, "pause")
    patience.wait(60.0, "limited")
    assert told == [("limited: waiting for 60.0 s", 1)]


def test_a_cancelled_run_waits_no_longer() -> None:
    patience = Patience(100.0, clock=Clock(), sleep=lambda _wait_s: True)
    with pytest.raises(OutOfTime, match="the run was cancelled"):
        patience.wait(1.0, "limited")


def test_writing_requests_are_a_second_apart() -> None:
    clock = Clock()
    patience = Patience(100.0, clock=clock, sleep=clock.sleep)
    patience.before_write()
    clock.now_s += 0.25
    patience.before_write()
    clock.now_s += 5.0
    patience.before_write()
    assert clock.slept == [0.75]
