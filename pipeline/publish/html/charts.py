"""Where the marks of each chart go: plain numbers in the units of a view box, drawn by the template.

The charts are simple enough (bars, one-dimensional distributions, points) that a plotting library would weigh more
than the report; every text beside them is HTML, so that it wraps, scales and can be read out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bench.samples import ms_from_compact
from pipeline.publish.against_base import change_text
from pipeline.publish.figures import duration_text
from pipeline.publish.job_report import Status
from pipeline.publish.speed import ms_text, original_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pipeline.bench.measurement import Measurement
    from pipeline.compare.baseline import PastRun
    from pipeline.publish.details import Details
    from pipeline.publish.report import Report

WIDTH = 1000.0
"""Of the view box of everything that is one row high; stretched to the page's width."""
HEIGHT = 24.0
LOWEST, HIGHEST = 0.9, 1.5
"""The latencies that a distribution shows, as multiples of the job's own median."""
_BINS = 100


@dataclass(frozen=True, slots=True)
class Distribution:
    """One job's latencies. ``outline`` is the points of a polygon, empty without samples; ``p50`` … are places."""

    job: str
    outline: str
    p50: float
    p99: float
    beyond_percent: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """``length`` is 0 to ``WIDTH``; ``tone`` is a class of the style sheet."""

    label: str
    length: float
    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A change with its interval, the runner's noise and the budget, all places; ``None`` where there is none."""

    job: str
    low: float
    estimate: float
    high: float
    noise_low: float
    noise_high: float
    zero: float
    budget: float | None
    text: str
    tone: str


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure over the last runs: the points of a line, and its first, lowest, highest and last value."""

    points: str
    text: str


def distributions(report: Report) -> tuple[Distribution, ...]:
    """The GPU's own times of each timed job, relative to the job's median."""
    return tuple(_distribution(job.id, job.speed.engine) for job in report.jobs if job.speed is not None)


def speed_ups(report: Report) -> tuple[Bar, ...]:
    """How many times faster each engine is than each original, on one scale."""
    pairs = [
        (f"{job.id} over {original_text(original)}", job.speed.factor_over(original))
        for job in report.jobs
        if job.speed is not None
        for original in job.speed.originals
    ]
    most = max((factor for _, factor in pairs), default=1.0)
    return tuple(
        Bar(label, _length(math.log1p(factor), math.log1p(most)), f"{factor:.2f}x", "" if factor >= 1.0 else "bad")
        for label, factor in pairs
    )


def changes(details: Details) -> tuple[Span, ...]:
    """Every change with an interval, on one scale around zero."""
    found = [
        (each.job, each.change, each.change.latency)
        for each in details.jobs
        if each.change and each.change.latency and each.change.latency.low_percent is not None
    ]
    reach = 1.0
    for _, change, interval in found:
        ends = (interval.low_percent or 0.0, interval.high_percent or 0.0, change.budget_percent or 0.0)
        reach = max(reach, *map(abs, ends))

    def place(percent: float | None) -> float:
        return round(WIDTH / 2 * (1 + max(-1.0, min(1.0, (percent or 0.0) / reach))), 1)

    return tuple(
        Span(
            job=job,
            low=place(interval.low_percent),
            estimate=place(interval.estimate_percent),
            high=place(interval.high_percent),
            noise_low=place(change.noise.low_percent if change.noise else 0.0),
            noise_high=place(change.noise.high_percent if change.noise else 0.0),
            zero=place(0.0),
            budget=None if change.budget_percent is None else place(change.budget_percent),
            text=f"{change.verdict}: {change_text(change)}",
            tone="bad" if change.regressed else {"faster": "good", "slower": "warn"}.get(change.verdict.value, ""),
        )
        for job, change, interval in found
    )


def builds(report: Report) -> tuple[Bar, ...]:
    """What building took, and what the cache saved, the longest first."""
    times = [
        (job.id, job.build_s if job.status is not Status.CACHED else job.previous_build_s, job.status)
        for job in report.jobs
    ]
    known = sorted(((seconds, name, status) for name, seconds, status in times if seconds), reverse=True, key=_first)
    most = known[0][0] if known else 1.0
    return tuple(
        Bar(
            name,
            _length(seconds, most),
            f"{duration_text(seconds)} {'saved' if status is Status.CACHED else 'built'}",
            "good" if status is Status.CACHED else "",
        )
        for seconds, name, status in known
    )


def latency_trend(history: Sequence[PastRun]) -> Trend | None:
    """The median latency over the last runs; ``None`` where fewer than two know one."""
    values = [past.figures.latency_p50_ms for past in history if past.figures.latency_p50_ms is not None]
    return _trend(values, ms_text) if len(values) >= 2 else None


def build_trend(history: Sequence[PastRun]) -> Trend | None:
    """The build time over the last runs; ``None`` where fewer than two know one."""
    values = [past.figures.build_s for past in history if past.figures.build_s is not None]
    return _trend(values, duration_text) if len(values) >= 2 else None


def _distribution(job: str, engine: Measurement) -> Distribution:
    compute = engine.compute
    beyond, outline = 0.0, ""
    try:
        samples = [value / compute.p50_ms for value in ms_from_compact(engine.samples)] if engine.samples else []
    except ValueError:
        samples = []
    if len(samples) >= 2:
        outline = _outline(samples)
        beyond = 100 * sum(not LOWEST <= value <= HIGHEST for value in samples) / len(samples)
    text = f"median {ms_text(compute.p50_ms)}, p99 {ms_text(compute.p99_ms)}"
    return Distribution(job, outline, _across(1.0), _across(compute.p99_ms / compute.p50_ms), beyond, text)


def _outline(samples: Iterable[float]) -> str:
    """A histogram as a polygon that stands on the lower edge; heights by square root, so that tails can be seen."""
    counts = [0] * _BINS
    for value in samples:
        if LOWEST <= value <= HIGHEST:
            counts[min(int((value - LOWEST) / (HIGHEST - LOWEST) * _BINS), _BINS - 1)] += 1
    most = max(*counts, 1)
    step = WIDTH / _BINS
    tops = []
    for index, count in enumerate(counts):
        y = round(HEIGHT - math.sqrt(count / most) * (HEIGHT - 2), 1)
        tops += [f"{index * step:g},{y:g}", f"{(index + 1) * step:g},{y:g}"]
    return " ".join((f"0,{HEIGHT:g}", *tops, f"{WIDTH:g},{HEIGHT:g}"))


def _across(relative: float) -> float:
    share = (relative - LOWEST) / (HIGHEST - LOWEST)
    return round(WIDTH * max(0.0, min(1.0, share)), 1)


def _length(value: float, most: float) -> float:
    return round(WIDTH * value / most, 1) if most > 0 else 0.0


def _first(entry: tuple[float, str, Status]) -> float:
    return entry[0]


def _trend(values: Sequence[float], text: Callable[[float], str]) -> Trend:
    low, high = min(values), max(values)
    room = (high - low) or 1.0
    step = WIDTH / (len(values) - 1)
    points = [
        f"{index * step:.1f},{2 + (1 - (value - low) / room) * (2 * HEIGHT - 4):.1f}"
        for index, value in enumerate(values)
    ]
    first, last = text(values[0]), text(values[-1])
    told = f"{len(values)} runs: first {first}, lowest {text(low)}, highest {text(high)}, last {last}"
    return Trend(" ".join(points), told)
