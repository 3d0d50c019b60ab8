from __future__ import annotations

import pytest

from pipeline.manifest.types import Metric, Tolerance
from pipeline.precision import Precision
from pipeline.verify.comparison import PREPARED_MODEL, Comparison, OutputComparison
from pipeline.verify.judge import Verdict, judge

_GOOD = OutputComparison(
    name="scores", cosine_min=0.9990, cosine_mean=0.9995, max_absolute_error=0.25, max_relative_error=0.05
)
_BAD = OutputComparison(name="boxes", cosine_min=0.90, cosine_mean=0.99, max_absolute_error=2.0, max_relative_error=0.5)


def _comparison(*outputs: OutputComparison, top1: tuple[float, float] | None = None) -> Comparison:
    reference, candidate = top1 or (None, None)
    return Comparison(
        subject=PREPARED_MODEL,
        samples=10,
        emulated=False,
        outputs=outputs,
        top1_reference=reference,
        top1_candidate=candidate,
    )


def _verdict(comparison: Comparison, metric: Metric, limit: float) -> Verdict:
    (verdict,) = judge(comparison, (Tolerance(metric, Precision.INT8, limit),), Precision.INT8)
    return verdict


@pytest.mark.parametrize(
    ("metric", "limit", "measured", "margin", "passed"),
    [
        (Metric.COSINE, 0.99, 0.999, 0.009, True),
        (Metric.COSINE, 0.9995, 0.999, -0.0005, False),
        (Metric.MAX_ABSOLUTE_ERROR, 0.5, 0.25, 0.25, True),
        (Metric.MAX_ABSOLUTE_ERROR, 0.125, 0.25, -0.125, False),
        (Metric.MAX_RELATIVE_ERROR, 0.1, 0.05, 0.05, True),
        (Metric.MAX_RELATIVE_ERROR, 0.01, 0.05, -0.04, False),
        (Metric.TOP1_DROP, 1.0, 0.5, 0.5, True),
        (Metric.TOP1_DROP, 0.25, 0.5, -0.25, False),
    ],
)
def test_the_margin_says_by_how_much(
    metric: Metric, limit: float, measured: float, margin: float, passed: bool
) -> None:
    verdict = _verdict(_comparison(_GOOD, top1=(98.5, 98.0)), metric, limit)
    assert verdict.passed is passed
    assert (verdict.measured, verdict.margin) == pytest.approx((measured, margin))


@pytest.mark.parametrize(
    ("metric", "limit"), [(Metric.COSINE, 0.999), (Metric.MAX_ABSOLUTE_ERROR, 0.25), (Metric.TOP1_DROP, 0.5)]
)
def test_a_figure_at_its_limit_passes(metric: Metric, limit: float) -> None:
    assert _verdict(_comparison(_GOOD, top1=(98.5, 98.0)), metric, limit).passed


def test_a_gain_in_accuracy_passes_a_limit_of_nothing() -> None:
    assert _verdict(_comparison(_GOOD, top1=(98.0, 98.5)), Metric.TOP1_DROP, 0.0).measured == -0.5


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.MAX_ABSOLUTE_ERROR, Metric.MAX_RELATIVE_ERROR])
def test_the_worst_output_counts_and_is_named(metric: Metric) -> None:
    assert _verdict(_comparison(_GOOD, _BAD), metric, 0.95).output == "boxes"


def test_tolerances_of_other_precisions_are_left_out() -> None:
    tolerances = (Tolerance(Metric.COSINE, Precision.FP16, 0.5), Tolerance(Metric.COSINE, Precision.INT8, 0.6))
    assert [verdict.limit for verdict in judge(_comparison(_GOOD), tolerances, Precision.INT8)] == [0.6]


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (OutputComparison(name="boxes", non_finite=7), "7 of its values are NaN or infinite"),
        (OutputComparison(name="boxes", shape_mismatches=1), "its shape is not the original's"),
    ],
)
def test_an_output_that_cannot_be_measured_fails_every_metric_of_outputs(broken: OutputComparison, text: str) -> None:
    for metric in (Metric.COSINE, Metric.MAX_ABSOLUTE_ERROR, Metric.MAX_RELATIVE_ERROR):
        verdict = _verdict(_comparison(_GOOD, broken), metric, 0.0)
        assert (verdict.passed, verdict.measured, verdict.margin, verdict.output) == (False, None, None, "boxes")
        assert text in str(verdict)


def test_top1_without_labels_fails_with_the_reason() -> None:
    verdict = _verdict(_comparison(_GOOD), Metric.TOP1_DROP, 1.0)
    assert not verdict.passed
    assert str(verdict) == "top1-drop could not be measured: there are no labels"


def test_class_numbers_are_judged_by_their_share_of_equal_ones() -> None:
    classes = OutputComparison(name="class", exact_match=0.98)
    assert _verdict(_comparison(classes), Metric.COSINE, 0.95).measured == 0.98
    assert "no floating-point output" in str(_verdict(_comparison(classes), Metric.MAX_ABSOLUTE_ERROR, 1.0))


def test_the_text_says_what_was_asked_and_by_how_much_it_was_missed() -> None:
    text = str(_verdict(_comparison(_BAD), Metric.COSINE, 0.95))
    assert text == "cosine of output 'boxes' is 0.9, at least 0.95 is asked: missed by 0.05"
