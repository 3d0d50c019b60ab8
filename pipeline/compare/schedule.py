"""In which order two engines are timed, so that whatever drifts meets both alike.

One *round* is four fresh processes in the order ABBA or BAAB, in which a linear drift cancels. Rounds come in couples
of one ABBA and one BAAB, in an order that a seed decides, so that nothing periodic on the runner keeps step with them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compare.samples import Samples

PROCESSES_PER_ROUND = 4
LOOKS = (8, 14, 24)
"""After how many rounds it is asked whether that is enough. From fewer than eight no bootstrap is honest."""


class Side(str, Enum):
    """Which of the two engines: the base branch's, or the one of this run."""

    BASE = "base"
    HEAD = "head"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fresh process's run of one engine.

    ``throttled``: heat or the hardware's own protection slowed the GPU down meanwhile. A power limit does not count: it
    belongs to how a GPU runs under load, and meets both engines.
    """

    side: Side
    samples: Samples
    throttled: bool = False


_ABBA = (Side.BASE, Side.HEAD, Side.HEAD, Side.BASE)
_BAAB = (Side.HEAD, Side.BASE, Side.BASE, Side.HEAD)


def schedule(rounds: int, seed: int) -> tuple[Side, ...]:
    """The sides of ``4 * rounds`` processes in order. ``rounds`` must be even and positive (``ValueError``)."""
    if rounds < 2 or rounds % 2:
        raise ValueError(f"{rounds} rounds cannot be balanced: give an even number")
    chooser = random.Random(seed)  # noqa: S311 - an order, not a secret
    order: list[Side] = []
    for _ in range(rounds // 2):
        order += (*_ABBA, *_BAAB) if chooser.random() < 0.5 else (*_BAAB, *_ABBA)
    return tuple(order)


def rounds_of(blocks: Sequence[Block]) -> tuple[tuple[Block, ...], ...]:
    """Blocks in the order of ``schedule``, round by round. Raises ``ValueError`` where the order is another."""
    rounds = tuple(
        tuple(blocks[start : start + PROCESSES_PER_ROUND]) for start in range(0, len(blocks), PROCESSES_PER_ROUND)
    )
    orders = [tuple(block.side for block in each) for each in rounds]
    couples = [set(orders[start : start + 2]) for start in range(0, len(orders), 2)]
    if not couples or any(couple != {_ABBA, _BAAB} for couple in couples):
        raise ValueError("the blocks are not in the balanced order of a schedule")
    return rounds
