"""A confidence interval for the typical contrast of few rounds. Imports numpy: import this late.

The estimate is the interquartile mean of the contrasts: it follows no round that a neighbour disturbed. Its interval is
the percentile interval of the bootstrap over rounds (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 13), with its levels widened for few observations as Hesterberg does (What Teachers Should Know About the
Bootstrap, The American Statistician 69, 2015, "expanded percentile"): of ``n`` contrasts it takes the quantiles at
``Phi(-sqrt(n / (n - 1)) * t)`` from below and from above, where ``t`` is Student's quantile with ``n - 1`` degrees of
freedom. Rounds are drawn whole, so what varies between processes and within them is all in it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RESAMPLES = 4000
_SEED = 20_150_401
"""The same contrasts always give the same interval."""


def interval_from_contrasts(contrasts: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """Low end, estimate and high end, at ``confidence`` (0 to 1). Honest from eight contrasts on; needs two."""
    values = np.array(contrasts)
    generator = np.random.default_rng(_SEED)
    drawn = values[generator.integers(0, len(values), (RESAMPLES, len(values)))]
    tail = _tail(len(values), confidence)
    low, high = np.quantile(_interquartile_mean(drawn), [tail, 1.0 - tail])
    estimate = float(_interquartile_mean(values))
    return min(float(low), estimate), estimate, max(float(high), estimate)


def _interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis, without the lowest and the highest quarter, rounded down to whole values."""
    count = values.shape[-1]
    kept = np.sort(values, axis=-1)[..., count // 4 : count - count // 4]
    mean: NDArray[np.float64] = kept.mean(axis=-1)
    return mean


@lru_cache(maxsize=64)
def _tail(count: int, confidence: float) -> float:
    """The share of resamples to leave out at each end."""
    student = student_quantile(1.0 - (1.0 - confidence) / 2.0, count - 1)
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * student)


def student_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t with whole ``degrees`` of freedom, for probabilities from 0.5 below 1."""
    low, high = 0.0, 1.0
    while _student_cdf(high, degrees) < probability:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _student_cdf(middle, degrees) < probability else (low, middle)
    return high


def _student_cdf(t: float, degrees: int) -> float:
    """For ``t >= 0``; Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(degrees // 2):
        total += term
        numerator = 2 * power + 2 if odd else 2 * power + 1
        term *= cosine * cosine * numerator / (numerator + 1)
    inside = 2.0 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2.0
