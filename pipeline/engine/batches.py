"""Batches of evaluation data made to fit an engine's profiles: a smaller size, or filled up and cut again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pipeline.verify.compare import Runnable


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """The sizes of axis 0 that some profile takes; ``ranges`` are the smallest and largest of each profile."""

    ranges: tuple[tuple[int, int], ...]

    def __contains__(self, size: int) -> bool:
        return any(low <= size <= high for low, high in self.ranges)

    def nearest(self, wanted: int) -> int:
        """``wanted`` where a profile takes it, else the next smaller size, else the smallest of all."""
        if wanted in self:
            return wanted
        smaller = [high for _, high in self.ranges if high < wanted]
        return max(smaller) if smaller else min((low for low, _ in self.ranges), default=wanted)

    def at_least(self, size: int) -> int:
        """The smallest size from ``size`` on; ``size`` itself where there is none."""
        larger = [max(low, size) for low, high in self.ranges if high >= size]
        return min(larger, default=size)


class FilledBatches:
    """An engine that takes any batch up to its largest: its last sample is repeated, and what comes of that left out.

    Outputs that do not have the batch on axis 0 stay as they are.
    """

    def __init__(self, engine: Runnable, sizes: BatchSizes) -> None:
        self._engine = engine
        self._sizes = sizes
        self.output_names = engine.output_names

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Output name -> array for one batch. Raises what the engine raises."""
        size = len(next(iter(inputs.values())))
        filled = size if size in self._sizes else self._sizes.at_least(size)
        if filled == size:
            return self._engine.run(inputs)
        more = filled - size
        outputs = self._engine.run(
            {name: np.concatenate([values, np.repeat(values[-1:], more, axis=0)]) for name, values in inputs.items()}
        )
        return {name: values[:size] if values.shape[:1] == (filled,) else values for name, values in outputs.items()}
