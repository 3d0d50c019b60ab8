from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from pipeline.compare.samples import KEPT, Samples, samples_from_latencies


def test_few_latencies_are_all_kept_in_order() -> None:
    assert samples_from_latencies([3.0, 1.0, 2.0]) == Samples(count=3, quantiles_ms=(1.0, 2.0, 3.0))


def test_many_latencies_become_equally_likely_quantiles() -> None:
    samples = samples_from_latencies([float(value) for value in range(1, 10 * KEPT + 1)])
    assert (samples.count, len(samples.quantiles_ms)) == (10 * KEPT, KEPT)
    assert {later - earlier for earlier, later in pairwise(samples.quantiles_ms)} == {10.0}


def test_the_typical_latency_does_not_follow_stalls() -> None:
    calm = samples_from_latencies([2.0] * 100)
    stalled = samples_from_latencies([2.0] * 95 + [900.0] * 5)
    assert stalled.typical_ms == calm.typical_ms


def test_the_typical_latency_moves_with_the_time_spent_at_a_slower_clock() -> None:
    typical = [samples_from_latencies([1.0] * (100 - slow) + [2.0] * slow).typical_ms for slow in (30, 50, 70)]
    assert typical == pytest.approx([1.25, 1.5, 1.75], abs=0.02)


def test_compact_samples_tell_the_same_typical_latency_as_all_of_them() -> None:
    chance = random.Random(1)
    latencies_ms = sorted(chance.lognormvariate(0, 0.01) for _ in range(5000))
    whole = math.fsum(latencies_ms[500:4500]) / 4000
    assert samples_from_latencies(latencies_ms).typical_ms == pytest.approx(whole, rel=2e-4)


@pytest.mark.parametrize("latencies_ms", [[], [0.0], [-1.0], [math.nan], [math.inf]], ids=repr)
def test_what_is_no_latency_is_refused(latencies_ms: list[float]) -> None:
    with pytest.raises(ValueError, match="latenc"):
        samples_from_latencies(latencies_ms)


@pytest.mark.parametrize(("count", "quantiles_ms"), [(1, (1.0, 2.0)), (2, (2.0, 1.0))])
def test_what_no_latencies_can_give_is_refused(count: int, quantiles_ms: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="quantiles"):
        Samples(count=count, quantiles_ms=quantiles_ms)
