"""Speed against accuracy: where each job's point goes, in the units of a view box."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report

WIDTH, HEIGHT, _MARGIN = 400.0, 260.0, 40.0


@dataclass(frozen=True, slots=True)
class Point:
    """A job in the plot of speed against accuracy. ``shape`` is a number, one for each precision."""

    job: str
    x: float
    y: float
    shape: int
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """Speed-up (across, logarithmic) against the accuracy that is lost (down)."""

    points: tuple[Point, ...]
    across: tuple[Tick, ...]
    down: tuple[Tick, ...]
    precisions: tuple[str, ...]
    accuracy: str


def scatter(report: Report) -> Scatter | None:
    """Each job with a speed-up and an accuracy; ``None`` where there are fewer than two.

    The speed-up is over the fastest original, which is the hardest to beat. Accuracy is Top-1 lost in percentage
    points where every job has labels,
    else one minus the smallest cosine similarity.
    """
    jobs = [job for job in report.jobs if job.speed and job.speed.originals and job.accuracy]
    top1 = all(_top1_lost(job) is not None for job in jobs)
    lost = {job.id: _top1_lost(job) if top1 else _cosine_lost(job) for job in jobs}
    found = [(job, _factor(job), loss) for job in jobs if (loss := lost[job.id]) is not None]
    if len(found) < 2:
        return None
    precisions = tuple(dict.fromkeys(str(job.precision) for job, _, _ in found))
    low, high = _padded([math.log10(factor) for _, factor, _ in found], 0.05)
    least, most = _padded([loss for _, _, loss in found], 0.05 if top1 else 1e-4)

    def across(factor: float) -> float:
        return round(_MARGIN + (math.log10(factor) - low) / (high - low) * (WIDTH - 1.5 * _MARGIN), 1)

    def down(loss: float) -> float:
        return round(_MARGIN / 2 + (loss - least) / (most - least) * (HEIGHT - 1.5 * _MARGIN), 1)

    points = tuple(
        Point(
            job.id,
            across(factor),
            down(loss),
            precisions.index(str(job.precision)),
            f"{job.id}: {factor:.2f}x, {loss:.4g} lost",
        )
        for job, factor, loss in found
    )
    return Scatter(
        points=points,
        across=tuple(Tick(across(factor), f"{factor:.3g}x") for factor in _log_steps(10**low, 10**high)),
        down=tuple(Tick(down(loss), f"{loss:.3g}") for loss in _steps(least, most)),
        precisions=precisions,
        accuracy="percentage points of Top-1 lost" if top1 else "one minus the smallest cosine similarity",
    )


def _factor(job: JobReport) -> float:
    assert job.speed is not None  # noqa: S101  the caller selects the jobs that were timed
    return min(job.speed.factor_over(original) for original in job.speed.originals)


def _top1_lost(job: JobReport) -> float | None:
    accuracy = job.accuracy
    if accuracy is None or accuracy.top1_candidate_percent is None or accuracy.top1_reference_percent is None:
        return None
    return accuracy.top1_reference_percent - accuracy.top1_candidate_percent


def _cosine_lost(job: JobReport) -> float | None:
    cosines = [output.cosine_min for output in job.accuracy.outputs] if job.accuracy else []
    finite = [cosine for cosine in cosines if cosine is not None]
    return 1.0 - min(finite) if finite else None


def _padded(values: Sequence[float], least: float) -> tuple[float, float]:
    room = max((max(values) - min(values)) * 0.08, least)
    return min(values) - room, max(values) + room


def _steps(low: float, high: float) -> tuple[float, ...]:
    """Three to eight round values between ``low`` and ``high``: multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(power * factor for factor in (5, 2, 1) if (high - low) / (power * factor) >= 3)
    first = math.ceil(low / step)
    return tuple(index * step for index in range(first, math.floor(high / step) + 1))


def _log_steps(low: float, high: float) -> tuple[float, ...]:
    """1, 2 and 5 times each power of ten between ``low`` and ``high``; fewer where many are, linear where few are."""
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    found = tuple(factor * 10.0**power for power in powers for factor in (1, 2, 5))
    inside = tuple(value for value in found if low <= value <= high)
    if len(inside) > 9:
        return inside[:: len(inside) // 5]
    return inside if len(inside) >= 3 else _steps(low, high)
