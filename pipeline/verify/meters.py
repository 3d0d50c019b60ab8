"""Running comparison of outputs, batch by batch: no output is kept."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.verify.comparison import OutputComparison

if TYPE_CHECKING:
    import numpy.typing as npt

    Values = npt.NDArray[Any]

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(slots=True)
class OutputMeter:
    """Compares one output. ``add`` takes the same batch from both models; ``result`` sums up what was added.

    All is computed in float64. The cosine of two zero vectors is 1, of a zero vector and another 0. An infinity in the
    original must be the same infinity in the candidate and then takes no part in the figures.
    """

    name: str
    _floating: bool = True
    _cosine_min: float = 1.0
    _cosine_sum: float = 0.0
    _samples: int = 0
    _error: float = 0.0
    _magnitude: float = 0.0
    _equal: int = 0
    _elements: int = 0
    _non_finite: int = 0
    _shape_mismatches: int = 0

    def add(self, reference: Values, candidate: Values, samples: int) -> None:
        """Compare one batch of ``samples``. An output whose axis 0 is not the batch counts as one sample."""
        self._floating = reference.dtype.kind == "f"
        if reference.shape != candidate.shape:
            self._shape_mismatches += 1
        elif not self._floating:
            self._equal += int(np.count_nonzero(reference == candidate))
            self._elements += reference.size
        else:
            rows = samples if reference.ndim and reference.shape[0] == samples else 1
            self._add_rows(_rows(reference, rows), _rows(candidate, rows))

    def result(self) -> OutputComparison:
        """The figures so far; all ``None`` where shapes differ or values are not finite."""
        if self._shape_mismatches or self._non_finite:
            return OutputComparison(
                name=self.name, non_finite=self._non_finite, shape_mismatches=self._shape_mismatches
            )
        if not self._floating:
            return OutputComparison(name=self.name, exact_match=self._equal / self._elements if self._elements else 1.0)
        return OutputComparison(
            name=self.name,
            cosine_min=self._cosine_min,
            cosine_mean=self._cosine_sum / self._samples if self._samples else 1.0,
            max_absolute_error=min(self._error, sys.float_info.max),
            max_relative_error=min(self._error / max(self._magnitude, _TINY), sys.float_info.max),
        )

    def _add_rows(self, reference: Values, candidate: Values) -> None:
        comparable = np.isfinite(reference)
        same = np.where(comparable, np.isfinite(candidate), reference == candidate)
        self._non_finite += int(np.count_nonzero(~same))
        keep = comparable & same
        left, right = np.where(keep, reference, 0.0), np.where(keep, candidate, 0.0)
        if left.size:
            self._error = max(self._error, float(np.abs(left - right).max()))
            self._magnitude = max(self._magnitude, float(np.abs(left).max()))
        cosines = _cosines(left, right)
        self._cosine_min = min(self._cosine_min, float(cosines.min(initial=1.0)))
        self._cosine_sum += float(cosines.sum())
        self._samples += len(cosines)


@dataclass(slots=True)
class Top1Meter:
    """Counts right classes. ``labels`` holds one class number per sample, in the order of the batches."""

    labels: Values
    _seen: int = 0
    _right: list[int] = field(default_factory=lambda: [0, 0])
    _agreed: int = 0

    def add(self, reference: Values, candidate: Values) -> None:
        """One batch of class numbers from both models (``class_numbers``)."""
        labels = self.labels[self._seen : self._seen + len(reference)]
        self._seen += len(reference)
        self._right[0] += int(np.count_nonzero(reference == labels))
        self._right[1] += int(np.count_nonzero(candidate == labels))
        self._agreed += int(np.count_nonzero(reference == candidate))

    def result(self) -> tuple[float, float, float]:
        """Reference, candidate and agreement, in percent of the samples seen."""
        return (
            100.0 * self._right[0] / self._seen,
            100.0 * self._right[1] / self._seen,
            100.0 * self._agreed / self._seen,
        )


def class_numbers(output: Values, samples: int) -> Values | None:
    """The class of each sample in a batch; ``None`` for an output that does not hold classes.

    An integer per sample is a class number; a row of scores names the class of its largest. A row with NaN names none,
    which is -1.
    """
    if not output.ndim or output.shape[0] != samples:
        return None
    rows = output.reshape(samples, -1)
    if output.dtype.kind in "iu":
        return rows[:, 0].astype(np.int64) if rows.shape[1] == 1 else None
    if output.dtype.kind != "f" or rows.shape[1] < 2:
        return None
    return np.where(np.isnan(rows).any(axis=1), -1, rows.argmax(axis=1))


def _rows(values: Values, count: int) -> Values:
    return values.reshape(count, -1).astype(np.float64)


def _cosines(left: Values, right: Values) -> Values:
    """Per row. Rows are scaled by their largest magnitude first, so that no square overflows or vanishes."""
    if not left.shape[1]:
        return np.ones(len(left))
    left, right = (rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), _TINY) for rows in (left, right))
    lengths = np.sqrt((left * left).sum(axis=1) * (right * right).sum(axis=1))
    zeros = (left == 0).all(axis=1) & (right == 0).all(axis=1)
    products = (left * right).sum(axis=1)
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.where(zeros, 1.0, np.clip(cosines, -1.0, 1.0))
