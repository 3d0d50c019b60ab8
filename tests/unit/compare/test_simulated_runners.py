"""The rates that `python -m benchmarks.regression_simulation` shows with 2,000 comparisons, with fewer of them."""

from __future__ import annotations

import pytest

from benchmarks.regression_simulation import MODELS, NOTHING_TO_FIND, Rates, misses, rates_of

PAIRS = 40


@pytest.mark.parametrize("noise", MODELS)
def test_the_gate_neither_cries_wolf_nor_sleeps(noise: str) -> None:
    rates = rates_of(noise, PAIRS, seed=7)
    assert rates.false_alarms == 0.0
    assert rates.found >= 0.9 or noise in NOTHING_TO_FIND
    assert rates.held >= 0.95


@pytest.mark.parametrize(
    ("false_alarms", "found", "missed"),
    [(0.0, 1.0, False), (0.009, 0.951, False), (0.01, 1.0, True), (0.0, 0.95, True)],
)
def test_the_simulation_fails_where_a_rate_is_missed(false_alarms: float, found: float, missed: bool) -> None:
    rates = Rates(false_alarms=false_alarms, found=found, inconclusive=0.0, held=1.0, processes=32.0)
    assert misses("quiet", rates) is missed


def test_unseen_throttling_need_only_raise_no_alarm() -> None:
    assert not misses("throttling", Rates(false_alarms=0.0, found=0.1, inconclusive=1.0, held=1.0, processes=80.0))
    assert misses("throttling", Rates(false_alarms=0.02, found=1.0, inconclusive=0.0, held=1.0, processes=80.0))
