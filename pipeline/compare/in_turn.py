"""Times two engines in turn until what can be said of them is sure enough, each time in a fresh process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compare.change import change_from_blocks
from pipeline.compare.measured import block_from_measurement
from pipeline.compare.schedule import LOOKS, PROCESSES_PER_ROUND, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.bench.measurement import Measurement
    from pipeline.compare.change import Change
    from pipeline.compare.schedule import Block, Side


def change_in_turn(
    measure: Callable[[Side], Measurement],
    budget_percent: float | None,
    *,
    seed: int,
    looks: Sequence[int] = LOOKS,
) -> tuple[Change, tuple[Block, ...]]:
    """What ``measure``, one fresh process's timing of one engine, says of both; and everything that it measured.

    It is called in the order that ``schedule`` draws from ``seed``, and no more often than the first of ``looks``
    (rounds) that is enough. Loads numpy. Raises what ``measure`` raises, and ``ValueError`` where it gives no samples.
    """
    order = schedule(max(looks), seed)
    blocks: list[Block] = []
    for rounds in looks:
        sides = order[len(blocks) : rounds * PROCESSES_PER_ROUND]
        blocks += [block_from_measurement(side, measure(side)) for side in sides]
        change = change_from_blocks(blocks, budget_percent, looks)
        if change.enough:
            break
    return change, tuple(blocks)
