"""Made-up timings of two engines in the order of a schedule."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from pipeline.compare.samples import samples_from_latencies
from pipeline.compare.schedule import PROCESSES_PER_ROUND, Block, Side, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Container


def timed_blocks(
    rounds: int,
    head_over_base: float = 1.0,
    *,
    seed: int = 1,
    noise: float = 0.003,
    factor: Callable[[int, Side], float] = lambda _place, _side: 1.0,
    throttled: Container[int] = (),
) -> tuple[Block, ...]:
    """Blocks of some 2 ms; ``factor`` is what befalls the process at a place in the schedule."""
    chance = random.Random(seed)
    blocks = []
    for place, side in enumerate(schedule(rounds, seed)):
        process_ms = 2.0 * (head_over_base if side is Side.HEAD else 1.0) * factor(place, side)
        process_ms *= 1 + chance.gauss(0, noise)
        latencies_ms = [process_ms * (1 + abs(chance.gauss(0, noise))) for _ in range(40)]
        blocks.append(Block(side=side, samples=samples_from_latencies(latencies_ms), throttled=place in throttled))
    assert len(blocks) == rounds * PROCESSES_PER_ROUND
    return tuple(blocks)
