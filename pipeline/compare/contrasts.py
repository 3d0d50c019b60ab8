"""What each round says of the two engines, and what the same processes say of each engine against itself.

Of two fresh processes of one engine the faster counts. Whatever disturbs a process, a neighbour on the GPU, a slow
clock, an unlucky placement in memory, makes it slower and never faster, so the minimum is the estimate that the
disturbance reaches least (Chen and Revels, Robust benchmarking in noisy environments, 2016).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.compare.schedule import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compare.schedule import Block


def paired_contrasts(rounds: Sequence[Sequence[Block]]) -> tuple[float, ...]:
    """The logarithm of head over base, one for each round."""
    return tuple(_log_ratio(_of(Side.HEAD, each), _of(Side.BASE, each)) for each in rounds)


def null_contrasts(rounds: Sequence[Sequence[Block]]) -> tuple[float, ...]:
    """The logarithm of each engine over itself, two for each couple of rounds, made as ``paired_contrasts`` are.

    Of an engine's four processes in two rounds, the outer two and the inner two stand against each other. Which of
    them stands above changes in the order ABBA too, so that a drift widens the noise and does not shift it.
    """
    contrasts: list[float] = []
    for first, second in zip(rounds[::2], rounds[1::2], strict=True):
        for side in Side:
            one, two, three, four = _of(side, (*first, *second))
            outer_over_inner = _log_ratio((one, four), (two, three))
            contrasts.append(-outer_over_inner if len(contrasts) % 4 in (1, 2) else outer_over_inner)
    return tuple(contrasts)


def _of(side: Side, blocks: Sequence[Block]) -> tuple[float, ...]:
    return tuple(block.samples.typical_ms for block in blocks if block.side is side)


def _log_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    return math.log(min(over) / min(under))
