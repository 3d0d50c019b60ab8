from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.bench.samples import compact_from_ms
from pipeline.compare.change import Verdict
from pipeline.compare.in_turn import change_in_turn
from pipeline.compare.schedule import Side, schedule
from tests.support.reports import measurement

if TYPE_CHECKING:
    from pipeline.bench.measurement import Measurement


class Bench:
    """Times engines of which the head is ``slower_percent`` slower, with noise from process to process."""

    def __init__(self, slower_percent: float, noise: float = 0.002) -> None:
        self.sides: list[Side] = []
        self._factor = {Side.BASE: 1.0, Side.HEAD: 1 + slower_percent / 100}
        self._noise = noise
        self._chance = random.Random(3)

    def __call__(self, side: Side) -> Measurement:
        self.sides.append(side)
        typical_ms = self._factor[side] * (1 + abs(self._chance.gauss(0, self._noise)))
        samples = compact_from_ms([typical_ms * (1 + abs(self._chance.gauss(0, 0.001))) for _ in range(40)])
        return replace(measurement(), samples=samples)


@pytest.mark.parametrize("slower_percent", [5.0, -5.0, 0.0])
def test_a_quiet_gpu_needs_the_first_look_alone(slower_percent: float) -> None:
    bench = Bench(slower_percent)
    change, blocks = change_in_turn(bench, 3.0, seed=7)
    assert tuple(bench.sides) == schedule(24, 7)[:32]
    assert (len(blocks), change.processes) == (32, 32)
    verdict = {5.0: Verdict.SLOWER, -5.0: Verdict.FASTER, 0.0: Verdict.SAME}[slower_percent]
    assert (change.verdict, change.regressed) == (verdict, slower_percent == 5.0)


def test_a_noisy_gpu_is_looked_at_again_and_at_most_three_times() -> None:
    bench = Bench(2.9, noise=0.08)
    change, _ = change_in_turn(bench, 3.0, seed=7)
    assert len(bench.sides) == 96
    assert change.enough


def test_an_engine_against_itself_is_no_regression_under_any_seed() -> None:
    for seed in range(20):
        change, _ = change_in_turn(Bench(0.0, noise=0.02), 3.0, seed=seed)
        assert not change.regressed


def test_a_process_without_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="samples"):
        change_in_turn(lambda _side: replace(measurement(), samples=""), 3.0, seed=1)
