from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipeline.verify.comparison import OutputComparison
from pipeline.verify.meters import OutputMeter, Top1Meter, class_numbers
from tests.support.models import float32, int64


def _compared(reference: Any, candidate: Any, dtype: type = np.float32) -> OutputComparison:
    meter = OutputMeter("y")
    meter.add(np.asarray(reference, dtype), np.asarray(candidate, dtype), len(reference))
    return meter.result()


def test_figures_computed_by_hand() -> None:
    figures = _compared([[3, 4], [1, 0]], [[4, 3], [1, 1]])
    assert figures.cosine_min == pytest.approx(1 / math.sqrt(2))
    assert figures.cosine_mean == pytest.approx((24 / 25 + 1 / math.sqrt(2)) / 2)
    assert figures.max_absolute_error == 1.0
    assert figures.max_relative_error == 0.25
    assert (figures.exact_match, figures.non_finite, figures.shape_mismatches) == (None, 0, 0)


def test_equal_outputs_are_perfect() -> None:
    values = np.random.default_rng(1).normal(size=(5, 7))
    figures = _compared(values, values)
    assert figures.cosine_min == pytest.approx(1.0)
    assert (figures.max_absolute_error, figures.max_relative_error) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("reference", "candidate", "cosine"),
    [([[0, 0]], [[0, 0]], 1.0), ([[0, 0]], [[1, 0]], 0.0), ([[1, 0]], [[0, 0]], 0.0), ([[1, 0]], [[-2, 0]], -1.0)],
)
def test_cosine_at_its_edges(reference: Any, candidate: Any, cosine: float) -> None:
    assert _compared(reference, candidate).cosine_min == cosine


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e30])
def test_cosine_neither_overflows_nor_vanishes(scale: float) -> None:
    assert _compared([[3 * scale, 4 * scale]], [[4 * scale, 3 * scale]]).cosine_min == pytest.approx(24 / 25)


def test_the_relative_error_is_relative_to_the_largest_value_of_all_batches() -> None:
    meter = OutputMeter("y")
    meter.add(float32([[1.0]]), float32([[2.0]]), 1)
    meter.add(float32([[10.0]]), float32([[10.0]]), 1)
    assert meter.result().max_relative_error == 0.1


def test_an_error_against_nothing_but_zeros_stays_a_number() -> None:
    error = _compared([[0.0]], [[1.0]]).max_relative_error
    assert error is not None
    assert error > 1e30
    assert math.isfinite(error)


@given(
    npst.arrays(np.float32, (6, 3), elements=st.floats(-100, 100, width=32)),
    npst.arrays(np.float32, (6, 3), elements=st.floats(-100, 100, width=32)),
    st.integers(1, 6),
)
def test_batches_do_not_change_the_figures(
    reference: npt.NDArray[np.float32], candidate: npt.NDArray[np.float32], size: int
) -> None:
    whole, parts = OutputMeter("y"), OutputMeter("y")
    whole.add(reference, candidate, 6)
    for start in range(0, 6, size):
        piece = reference[start : start + size]
        parts.add(piece, candidate[start : start + size], len(piece))
    one, many = whole.result(), parts.result()
    assert one.cosine_mean == pytest.approx(many.cosine_mean)
    assert (one.cosine_min, one.max_absolute_error, one.max_relative_error) == pytest.approx(
        (many.cosine_min, many.max_absolute_error, many.max_relative_error)
    )


def test_values_that_are_no_numbers_are_counted_and_leave_no_figures() -> None:
    figures = _compared([[1, 2, 3]], [[1, math.nan, math.inf]])
    assert figures == OutputComparison(name="y", non_finite=2)


def test_infinities_of_the_original_must_be_the_same() -> None:
    assert _compared([[1, -math.inf]], [[1, -math.inf]]).cosine_min == pytest.approx(1.0)
    assert _compared([[1, -math.inf]], [[1, math.inf]]).non_finite == 1
    assert _compared([[1, -math.inf]], [[1, -5]]).non_finite == 1


def test_another_shape_is_counted_and_leaves_no_figures() -> None:
    meter = OutputMeter("y")
    meter.add(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32), 2)
    assert meter.result() == OutputComparison(name="y", shape_mismatches=1)


def test_whole_numbers_are_compared_for_equality() -> None:
    assert _compared([1, 2, 3, 4], [1, 2, 3, 5], np.int64) == OutputComparison(name="y", exact_match=0.75)


def test_an_output_without_the_batch_axis_is_one_sample() -> None:
    meter = OutputMeter("y")
    meter.add(float32([[3, 4]]), float32([[4, 3]]), 8)
    assert meter.result().cosine_mean == pytest.approx(24 / 25)


def test_an_empty_output_differs_in_nothing() -> None:
    assert _compared(np.zeros((2, 0)), np.zeros((2, 0))).cosine_min == 1.0


def test_top1_computed_by_hand() -> None:
    meter = Top1Meter(np.array([0, 1, 2, 3]))
    meter.add(np.array([0, 1]), np.array([0, 0]))
    meter.add(np.array([2, 0]), np.array([2, 0]))
    assert meter.result() == (75.0, 50.0, 75.0)


@pytest.mark.parametrize(
    ("output", "classes"),
    [
        (float32([[0, 2, 1], [5, 4, 3]]), [1, 0]),
        (float32([[[[0]], [[2]]], [[[3]], [[1]]]]), [1, 0]),
        (float32([[0, np.nan, 1], [5, 4, 3]]), [-1, 0]),
        (int64([7, 3]), [7, 3]),
        (int64([[7], [3]]), [7, 3]),
        (float32([[1], [2]]), None),
        (int64([[7, 1], [3, 1]]), None),
        (np.zeros((3, 2), np.float32), None),
        (np.array([True, False]), None),
    ],
)
def test_class_numbers_of_an_output(output: npt.NDArray[Any], classes: list[int] | None) -> None:
    found = class_numbers(output, 2)
    assert (None if found is None else found.tolist()) == classes
