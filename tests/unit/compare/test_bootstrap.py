from __future__ import annotations

import random

import pytest

from pipeline.compare.bootstrap import interval_from_contrasts, student_quantile


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    # Abramowitz and Stegun, Handbook of Mathematical Functions, table 26.10.
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.95, 3, 2.353), (0.995, 5, 4.032), (0.975, 7, 2.365), (0.995, 30, 2.750)],
)
def test_quantiles_of_student_are_those_of_the_tables(probability: float, degrees: int, expected: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(expected, abs=6e-4)


def test_the_median_of_student_is_zero() -> None:
    assert student_quantile(0.5, 5) == pytest.approx(0.0, abs=1e-9)


def test_equal_contrasts_leave_no_doubt() -> None:
    assert interval_from_contrasts([0.05] * 8, 0.95) == pytest.approx((0.05, 0.05, 0.05))


def test_the_same_contrasts_always_give_the_same_interval() -> None:
    contrasts = [0.01 * value for value in range(10)]
    assert interval_from_contrasts(contrasts, 0.95) == interval_from_contrasts(contrasts, 0.95)


def test_more_confidence_makes_a_wider_interval() -> None:
    contrasts = [0.01 * value for value in range(10)]
    narrow, wide = interval_from_contrasts(contrasts, 0.8), interval_from_contrasts(contrasts, 0.98)
    assert wide[0] < narrow[0] < narrow[1] == wide[1] < narrow[2] < wide[2]


def test_the_estimate_ignores_the_outer_quarters() -> None:
    calm = interval_from_contrasts([0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07], 0.95)
    wild = interval_from_contrasts([-5.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 9.0], 0.95)
    assert wild[1] == pytest.approx(calm[1])


@pytest.mark.parametrize("count", [8, 20])
def test_the_interval_holds_the_truth_as_often_as_it_says(count: int) -> None:
    chance = random.Random(count)
    samples = [[chance.gauss(0.03, 0.01) for _ in range(count)] for _ in range(600)]
    intervals = [interval_from_contrasts(sample, 0.95) for sample in samples]
    assert sum(low <= 0.03 <= high for low, _, high in intervals) / len(intervals) >= 0.935
