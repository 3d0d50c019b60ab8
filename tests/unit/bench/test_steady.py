from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from pipeline.bench import steady
from pipeline.bench.steady import WINDOWS, is_steady, warmed_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(steady, "time", fake)
    return fake


def windows(clock: Clock, medians: Callable[[int], float]) -> Callable[[float, int], Sequence[float]]:
    numbers = count()

    def series(seconds: float, least: int) -> list[float]:
        clock.now += seconds
        return [medians(next(numbers))] * least

    return series


def test_windows_that_agree_are_steady() -> None:
    assert is_steady([9.0, 1.0, 1.005, 0.995, 1.0, 1.0])


def test_too_few_windows_are_not() -> None:
    assert not is_steady([1.0] * (WINDOWS - 1))


def test_one_window_off_is_not() -> None:
    assert not is_steady([1.0, 1.0, 1.02, 1.0, 1.0])


def test_a_warm_up_lasts_as_long_as_asked_for(clock: Clock) -> None:
    seconds, stable = warmed_up(windows(clock, lambda _: 1.0), 3.0)
    assert (round(seconds, 1), stable) == (3.0, True)


def test_a_warm_up_goes_on_until_the_speed_has_settled(clock: Clock) -> None:
    seconds, stable = warmed_up(windows(clock, lambda number: max(2.0 - number / 10, 1.0)), 1.0)
    assert stable
    assert 2.0 < seconds < 4.0


def test_a_speed_that_never_settles_is_told(clock: Clock) -> None:
    seconds, stable = warmed_up(windows(clock, lambda number: 1.0 + number % 2), 1.0)
    assert not stable
    assert seconds == pytest.approx(15.2)
