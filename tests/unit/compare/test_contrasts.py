from __future__ import annotations

import math

import pytest

from pipeline.compare.contrasts import null_contrasts, paired_contrasts
from pipeline.compare.schedule import rounds_of
from tests.support.timings import timed_blocks


def test_each_round_tells_head_over_base() -> None:
    contrasts = paired_contrasts(rounds_of(timed_blocks(8, 1.25, noise=0.0)))
    assert contrasts == pytest.approx([math.log(1.25)] * 8)


def test_two_engines_tell_nothing_of_each_other_in_the_null() -> None:
    contrasts = null_contrasts(rounds_of(timed_blocks(8, 1.25, noise=0.0)))
    assert contrasts == pytest.approx([0.0] * 8, abs=1e-12)


def test_one_disturbed_process_in_a_round_changes_nothing() -> None:
    disturbed = timed_blocks(8, noise=0.0, factor=lambda place, _side: 3.0 if place == 5 else 1.0)
    assert paired_contrasts(rounds_of(disturbed)) == pytest.approx([0.0] * 8, abs=1e-12)


def test_a_linear_drift_cancels_between_the_engines() -> None:
    drifting = timed_blocks(8, noise=0.0, factor=lambda place, _side: math.exp(0.01 * place))
    assert sum(paired_contrasts(rounds_of(drifting))) == pytest.approx(0.0, abs=1e-9)


def test_a_drift_widens_the_null_and_leaves_it_on_both_sides_of_zero() -> None:
    drifting = timed_blocks(8, noise=0.0, factor=lambda place, _side: math.exp(0.01 * place))
    contrasts = null_contrasts(rounds_of(drifting))
    assert min(contrasts) < -0.005
    assert max(contrasts) > 0.005
