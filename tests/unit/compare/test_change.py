from __future__ import annotations

import dataclasses

import pytest

from pipeline.compare.change import Basis, Interval, Verdict, change_from_blocks, change_from_stored
from pipeline.compare.schedule import LOOKS
from tests.support.timings import timed_blocks

FIRST, LAST = LOOKS[0], LOOKS[-1]


def test_a_slow_down_past_the_budget_is_a_regression() -> None:
    change = change_from_blocks(timed_blocks(FIRST, 1.05), 3.0)
    assert (change.verdict, change.regressed, change.enough) == (Verdict.SLOWER, True, True)
    assert change.latency is not None
    assert change.latency.estimate_percent == pytest.approx(5.0, abs=0.5)


def test_a_change_is_in_percent_of_the_base() -> None:
    change = change_from_blocks(timed_blocks(FIRST, 2.0, noise=0.0), 3.0)
    assert change.latency is not None
    latency = change.latency
    assert (latency.low_percent, latency.estimate_percent, latency.high_percent) == pytest.approx((100.0,) * 3)


def test_a_slow_down_within_the_budget_is_slower_and_no_regression() -> None:
    change = change_from_blocks(timed_blocks(FIRST, 1.05), 10.0)
    assert (change.verdict, change.regressed, change.enough) == (Verdict.SLOWER, False, True)


def test_F35_a_slow_down_whose_interval_reaches_into_the_budget_is_no_regression_yet() -> None:
    change = change_from_blocks(timed_blocks(FIRST, 1.03), 3.0)
    assert (change.verdict, change.regressed, change.enough) == (Verdict.SLOWER, False, False)


def test_a_faster_engine_is_faster() -> None:
    change = change_from_blocks(timed_blocks(FIRST, 0.9), 3.0)
    assert (change.verdict, change.regressed, change.enough) == (Verdict.FASTER, False, True)


def test_an_engine_against_itself_is_the_same() -> None:
    change = change_from_blocks(timed_blocks(FIRST), 3.0)
    assert (change.verdict, change.regressed, change.enough) == (Verdict.SAME, False, True)


def test_without_a_budget_nothing_regresses() -> None:
    change = change_from_blocks(timed_blocks(FIRST, 1.5), None)
    assert (change.verdict, change.regressed, change.enough) == (Verdict.SLOWER, False, True)


def test_a_change_too_small_to_matter_is_none() -> None:
    assert change_from_blocks(timed_blocks(FIRST, 1.004, noise=0.0005), None).verdict is Verdict.SAME


def test_the_noise_of_the_runner_is_told_beside_the_change() -> None:
    calm, noisy = (change_from_blocks(timed_blocks(LAST, 1.05, noise=noise), 3.0).noise for noise in (0.001, 0.02))
    assert calm is not None
    assert noisy is not None
    assert _width(calm) < 0.5 < _width(noisy)


def test_the_last_look_is_always_enough() -> None:
    change = change_from_blocks(timed_blocks(LAST, 1.03), 3.0)
    assert (change.regressed, change.enough) == (False, True)


def test_the_processes_behind_the_figures_are_counted() -> None:
    assert change_from_blocks(timed_blocks(FIRST), 3.0).processes == 4 * FIRST


def test_rounds_at_which_nobody_was_to_look_are_refused() -> None:
    with pytest.raises(ValueError, match="looks"):
        change_from_blocks(timed_blocks(FIRST + 2), 3.0)


def test_F35_noisy_timings_are_inconclusive_and_no_regression() -> None:
    noisy = [timed_blocks(look, seed=seed, noise=0.15) for look in LOOKS for seed in range(30)]
    changes = [change_from_blocks(blocks, 3.0) for blocks in noisy]
    assert not any(change.regressed for change in changes)
    verdicts = [change.verdict for change in changes]
    assert verdicts.count(Verdict.INCONCLUSIVE) > 0.95 * len(verdicts)


def test_F35_runs_in_which_the_gpu_was_slowed_down_do_not_count() -> None:
    slowed = {0, 1, 2, 3}
    blocks = timed_blocks(LAST, throttled=slowed, factor=lambda place, _side: 3.0 if place in slowed else 1.0)
    change = change_from_blocks(blocks, 3.0)
    assert (change.verdict, change.processes) == (Verdict.SAME, 4 * (LAST - 2))


def test_F35_too_few_steady_runs_are_inconclusive() -> None:
    blocks = timed_blocks(FIRST, 2.0, throttled={5})
    change = change_from_blocks(blocks, 3.0)
    assert (change.verdict, change.regressed, change.latency) == (Verdict.INCONCLUSIVE, False, None)
    assert change.reason == "the GPU was slowed down in 1 of 32 runs, and too few others are left"


@pytest.mark.parametrize("period", [2, 3, 4, 6, 8, 16])
@pytest.mark.parametrize("seed", range(4))
def test_F35_clocks_that_swing_regularly_are_no_regression(period: int, seed: int) -> None:
    blocks = timed_blocks(FIRST, seed=seed, factor=lambda place, _side: 1.2 if place % period < period / 2 else 1.0)
    assert not change_from_blocks(blocks, 3.0).regressed


@pytest.mark.parametrize("begin", range(0, 32, 5))
def test_F35_a_gpu_that_slows_down_for_good_is_no_regression(begin: int) -> None:
    change = change_from_blocks(timed_blocks(FIRST, factor=lambda place, _side: 1.3 if place >= begin else 1.0), 3.0)
    assert (change.verdict, change.regressed) in ((Verdict.SAME, False), (Verdict.INCONCLUSIVE, False))


def test_F35_stored_figures_are_shown_and_never_judged() -> None:
    change = change_from_stored(2.0, 3.0, 3.0)
    assert (change.basis, change.verdict, change.regressed) == (Basis.STORED, Verdict.INCONCLUSIVE, False)
    assert change.latency is not None
    assert change.latency.estimate_percent == pytest.approx(50.0)


def test_a_change_is_a_frozen_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        change_from_stored(1.0, 1.0, None).regressed = True  # type: ignore[misc]


def _width(interval: Interval) -> float:
    assert interval.low_percent is not None
    assert interval.high_percent is not None
    return interval.high_percent - interval.low_percent
