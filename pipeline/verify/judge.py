"""Verdicts: a comparison against the tolerances of one precision (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.manifest.types import Metric

if TYPE_CHECKING:
    from pipeline.manifest.types import Tolerance
    from pipeline.precision import Precision
    from pipeline.verify.comparison import Comparison, OutputComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One tolerance, and whether it was kept.

    ``measured`` is ``None`` where there is no such figure; ``reason`` says why then, and the verdict is a failure.
    ``margin`` is how far inside its limit the figure lies, in the metric's own unit; negative where it was missed.
    ``output`` names the worst output, and is empty where the figure is not of one output.
    """

    metric: Metric
    measured: float | None
    limit: float
    passed: bool
    margin: float | None
    output: str = ""
    reason: str = ""

    def __str__(self) -> str:
        of = f" of output {self.output!r}" if self.output else ""
        if self.measured is None:
            return f"{self.metric}{of} could not be measured: {self.reason}"
        word = "at least" if self.metric is Metric.COSINE else "at most"
        text = f"{self.metric}{of} is {self.measured:.6g}, {word} {self.limit:g} is asked"
        return text if self.passed or self.margin is None else f"{text}: missed by {-self.margin:.6g}"


def judge(comparison: Comparison, tolerances: tuple[Tolerance, ...], precision: Precision) -> tuple[Verdict, ...]:
    """One verdict per tolerance of ``precision``, in their order; tolerances of other precisions are left out.

    A figure exactly at its limit passes. For an output that is not floating point, ``cosine`` is the share of its
    elements that are equal. The two errors only look at floating-point outputs.
    """
    return tuple(_verdict(comparison, tolerance) for tolerance in tolerances if tolerance.precision is precision)


def _verdict(comparison: Comparison, tolerance: Tolerance) -> Verdict:
    if tolerance.metric is Metric.TOP1_DROP:
        reference, candidate = comparison.top1_reference, comparison.top1_candidate
        if reference is None or candidate is None:
            return _unmeasured(tolerance, "there are no labels")
        return _measured(tolerance, reference - candidate)
    for output in comparison.outputs:
        if output.shape_mismatches:
            return _unmeasured(tolerance, "its shape is not the original's", output.name)
        if output.non_finite:
            return _unmeasured(tolerance, f"{output.non_finite} of its values are NaN or infinite", output.name)
    figures = [
        (value, output.name)
        for output in comparison.outputs
        if (value := _figure(output, tolerance.metric)) is not None
    ]
    if not figures:
        return _unmeasured(tolerance, "the model has no floating-point output")
    worst = min(figures) if tolerance.metric is Metric.COSINE else max(figures)
    return _measured(tolerance, *worst)


def _figure(output: OutputComparison, metric: Metric) -> float | None:
    if metric is Metric.COSINE:
        return output.similarity
    return output.max_absolute_error if metric is Metric.MAX_ABSOLUTE_ERROR else output.max_relative_error


def _measured(tolerance: Tolerance, measured: float, output: str = "") -> Verdict:
    sign = 1 if tolerance.metric is Metric.COSINE else -1
    margin = sign * (measured - tolerance.limit)
    return Verdict(
        metric=tolerance.metric,
        measured=measured,
        limit=tolerance.limit,
        passed=margin >= 0,
        margin=margin,
        output=output,
    )


def _unmeasured(tolerance: Tolerance, reason: str, output: str = "") -> Verdict:
    return Verdict(
        metric=tolerance.metric,
        measured=None,
        limit=tolerance.limit,
        passed=False,
        margin=None,
        output=output,
        reason=reason,
    )
