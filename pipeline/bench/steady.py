"""When a warm-up has done its work."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WINDOWS = 5
"""Medians of so many consecutive windows are compared."""
SPREAD = 0.01
"""They are steady where all lie within this share of their own median: clocks and caches have settled."""
_WINDOW_S = 0.2
_LONGEST_S = 15.0


def is_steady(medians_ms: Sequence[float]) -> bool:
    """Whether the latest windows agree."""
    latest = list(medians_ms[-WINDOWS:])
    if len(latest) < WINDOWS:
        return False
    middle = statistics.median(latest)
    return all(abs(value - middle) <= SPREAD * middle for value in latest)


def warmed_up(
    series: Callable[[float, int], Sequence[float]], at_least_s: float, *, longest_s: float = _LONGEST_S
) -> tuple[float, bool]:
    """Call ``series`` until its windows agree and ``at_least_s`` have passed, or much longer.

    It gives up after thrice that, or ``longest_s`` where that is longer. ``series(seconds, least)`` runs for so long,
    and at least so often, and returns durations in ms. Returns the seconds that it took, and whether they agreed.
    """
    started = time.perf_counter()
    medians: list[float] = []
    while True:
        medians.append(statistics.median(series(_WINDOW_S, 3)))
        elapsed_s = time.perf_counter() - started
        if elapsed_s >= at_least_s and is_steady(medians):
            return elapsed_s, True
        if elapsed_s > max(longest_s, 3 * at_least_s):
            return elapsed_s, False
