"""How much slower an engine is than the base branch's, how sure that is, and whether it breaks the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pipeline.compare.contrasts import null_contrasts, paired_contrasts
from pipeline.compare.schedule import LOOKS, PROCESSES_PER_ROUND, rounds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compare.schedule import Block

CONFIDENCE = 0.95
"""Of all looks together: each look alone is surer by Bonferroni's rule, so that looking again costs no honesty."""
_SAME_PERCENT = 1.0
"""A change that is surely smaller is none, to a reader."""


class Verdict(str, Enum):
    """What can be said of the head engine. ``SAME``: it is within the budget, either way."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"

    def __str__(self) -> str:
        return self.value


class Basis(str, Enum):
    """Where the figures come from."""

    PAIRED = "paired"
    """Both engines were timed here and now, in turn, on one GPU."""
    STORED = "stored"
    """The base engine's figure is that of an earlier run, on whichever machine that was. It is never gated on."""
    SAME_ENGINE = "same-engine"
    """It is the base engine itself, so nothing was timed."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the ends of its confidence interval, in percent; the ends are ``None`` where nothing is known."""

    estimate_percent: float
    low_percent: float | None = None
    high_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The head engine's latency over the base engine's, in percent: 5 is slower by 5 %, -5 faster.

    ``noise`` is what the same runner and method say of each engine against itself, where 0 is the truth. ``regressed``
    is the gate: set only where the whole interval lies past the budget. ``enough`` says that further rounds would not
    change that. ``reason`` is a sentence for the reader.
    """

    basis: Basis
    verdict: Verdict
    regressed: bool
    enough: bool
    budget_percent: float | None
    latency: Interval | None
    noise: Interval | None
    processes: int
    reason: str


def change_from_blocks(blocks: Sequence[Block], budget_percent: float | None, looks: Sequence[int] = LOOKS) -> Change:
    """Compare the engines from ``blocks`` in the order that ``schedule`` gave. Loads numpy.

    The number of rounds must be one of ``looks``, which share ``CONFIDENCE`` (Bonferroni). Without a budget nothing
    regresses, and ``SAME`` is within 1 %. Raises ``ValueError`` for blocks in another order or number.
    """
    from pipeline.compare.bootstrap import interval_from_contrasts

    rounds = rounds_of(blocks)
    if len(rounds) not in looks:
        raise ValueError(f"{len(rounds)} rounds are none of the looks {tuple(looks)}")
    steady = _steady_couples(rounds)
    last = len(rounds) == max(looks)
    if len(steady) < min(looks):
        throttled = sum(block.throttled for block in blocks)
        return Change(
            basis=Basis.PAIRED,
            verdict=Verdict.INCONCLUSIVE,
            regressed=False,
            enough=last,
            budget_percent=budget_percent,
            latency=None,
            noise=None,
            processes=len(blocks),
            reason=f"the GPU was slowed down in {throttled} of {len(blocks)} runs, and too few others are left",
        )
    confidence = 1.0 - (1.0 - CONFIDENCE) / len(looks)
    latency = _percent(*interval_from_contrasts(paired_contrasts(steady), confidence))
    noise = _percent(*interval_from_contrasts(null_contrasts(steady), confidence))
    verdict, reason = _judged(latency[0], latency[2], _SAME_PERCENT if budget_percent is None else budget_percent)
    regressed = budget_percent is not None and verdict is Verdict.SLOWER and latency[0] > budget_percent
    kept = budget_percent is not None and latency[2] <= budget_percent
    return Change(
        basis=Basis.PAIRED,
        verdict=verdict,
        regressed=regressed,
        enough=last or regressed or kept or (budget_percent is None and verdict is not Verdict.INCONCLUSIVE),
        budget_percent=budget_percent,
        latency=Interval(latency[1], latency[0], latency[2]),
        noise=Interval(noise[1], noise[0], noise[2]),
        processes=len(steady) * PROCESSES_PER_ROUND,
        reason=reason,
    )


def change_from_stored(base_ms: float, head_ms: float, budget_percent: float | None) -> Change:
    """What stored figures allow: a ratio that is shown and never gated on. Both must be positive, in milliseconds."""
    return Change(
        basis=Basis.STORED,
        verdict=Verdict.INCONCLUSIVE,
        regressed=False,
        enough=True,
        budget_percent=budget_percent,
        latency=Interval((head_ms / base_ms - 1.0) * 100.0),
        noise=None,
        processes=0,
        reason="against the figure of an earlier run, perhaps on another machine, so it is not judged",
    )


def change_of_same_engine() -> Change:
    """What is known of an engine that is the base engine."""
    return Change(
        basis=Basis.SAME_ENGINE,
        verdict=Verdict.SAME,
        regressed=False,
        enough=True,
        budget_percent=None,
        latency=None,
        noise=None,
        processes=0,
        reason="it is the base branch's engine",
    )


def _steady_couples(rounds: Sequence[tuple[Block, ...]]) -> list[tuple[Block, ...]]:
    """The rounds without those couples in which the GPU was slowed down; what is left is balanced still."""
    steady: list[tuple[Block, ...]] = []
    for couple in zip(rounds[::2], rounds[1::2], strict=True):
        if not any(block.throttled for each in couple for block in each):
            steady += couple
    return steady


def _percent(low: float, estimate: float, high: float) -> tuple[float, float, float]:
    return math.expm1(low) * 100.0, math.expm1(estimate) * 100.0, math.expm1(high) * 100.0


def _judged(low: float, high: float, margin_percent: float) -> tuple[Verdict, str]:
    """What an interval with these ends, in percent, says."""
    if min(margin_percent, _SAME_PERCENT) >= max(high, -low):
        return Verdict.SAME, "the whole interval lies around no change"
    if low > margin_percent:
        return Verdict.SLOWER, f"the whole interval lies past {margin_percent:g} %"
    if low > 0.0:
        return Verdict.SLOWER, "the whole interval lies on the slower side"
    if high < 0.0:
        return Verdict.FASTER, "the whole interval lies on the faster side"
    if margin_percent >= max(high, -low):
        return Verdict.SAME, f"the whole interval lies within {margin_percent:g} % of no change"
    if high <= margin_percent:
        return (
            Verdict.INCONCLUSIVE,
            f"it is not slower by {margin_percent:g} %; more cannot be told",
        )
    return Verdict.INCONCLUSIVE, "the runner is too noisy to tell"
