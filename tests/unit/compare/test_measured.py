from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.bench.measurement import GpuState
from pipeline.bench.samples import compact_from_ms
from pipeline.compare.measured import block_from_measurement
from pipeline.compare.schedule import Side
from tests.support.reports import measurement


def test_a_measurement_becomes_a_block_of_its_samples() -> None:
    timed = replace(measurement(), samples=compact_from_ms([0.3, 0.1, 0.2]))
    block = block_from_measurement(Side.HEAD, timed)
    assert block.side is Side.HEAD
    assert block.samples.quantiles_ms == pytest.approx((0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [
        ((), False),
        (("sw-power-cap",), False),
        (("sync-boost",), False),
        (("sw-power-cap", "sw-thermal-slowdown"), True),
        (("hw-thermal-slowdown",), True),
        (("hw-slowdown",), True),
        (("hw-power-brake",), True),
    ],
    ids=repr,
)
def test_F35_heat_and_the_hardwares_own_protection_count_as_slowed_down(
    reasons: tuple[str, ...], throttled: bool
) -> None:
    timed = replace(measurement(), gpu=GpuState(readings=5, throttled=reasons))
    assert block_from_measurement(Side.BASE, timed).throttled is throttled


def test_a_gpu_that_says_nothing_was_not_slowed_down() -> None:
    assert not block_from_measurement(Side.BASE, replace(measurement(), gpu=None)).throttled


def test_a_measurement_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="samples"):
        block_from_measurement(Side.BASE, replace(measurement(), samples=""))
