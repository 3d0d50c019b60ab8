"""What moved from one calibration table to another: the drift of a model's INT8 ranges (pure)."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.prepare.calibration_table import CalibrationTable


@dataclass(frozen=True, slots=True)
class Moved:
    """A tensor that both tables have. ``before`` and ``after`` are the scales, ``ratio`` is after / before."""

    tensor: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """After / before."""
        return self.after / self.before

    @property
    def factor(self) -> float:
        """How far it moved, up or down: 1 where it did not, 2 where the range doubled or halved."""
        return max(self.ratio, 1 / self.ratio)


@dataclass(frozen=True, slots=True)
class Drift:
    """``moved`` has the farthest first; ``same`` counts the tensors whose scale is the same to the last bit.

    ``gone`` are the tensors that only the first table has a range for, ``new`` those that only the second has.
    """

    moved: tuple[Moved, ...]
    same: int
    gone: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def largest_factor(self) -> float:
        """How far the scale that moved most has moved; 1 where none did."""
        return max((each.factor for each in self.moved), default=1.0)

    @property
    def median_factor(self) -> float:
        """The median over all tensors that both tables have, those that stayed included; 1 where there are none."""
        return statistics.median([each.factor for each in self.moved] + [1.0] * self.same or [1.0])


def drift_between(before: CalibrationTable, after: CalibrationTable) -> Drift:
    """What moved from ``before`` to ``after``; the headers are not compared."""
    return drift_between_scales(before.scales, after.scales)


def drift_between_scales(before: Mapping[str, float], after: Mapping[str, float]) -> Drift:
    """What moved from ``before`` to ``after``, each tensor name -> a scale or range above zero."""
    both = before.keys() & after.keys()
    moved = [Moved(tensor, before[tensor], after[tensor]) for tensor in both if before[tensor] != after[tensor]]
    return Drift(
        moved=tuple(sorted(moved, key=lambda each: (-each.factor, each.tensor))),
        same=len(both) - len(moved),
        gone=tuple(sorted(before.keys() - both)),
        new=tuple(sorted(after.keys() - both)),
    )
