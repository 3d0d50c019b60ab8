from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.engine.batches import BatchSizes, FilledBatches

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt


class Doubles:
    """Doubles ``x`` in batches of some sizes alone, and tells one number for the whole batch."""

    output_names = ["y", "count"]  # noqa: RUF012  as an engine has them

    def __init__(self, sizes: BatchSizes) -> None:
        self.sizes = sizes
        self.seen: list[int] = []

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        self.seen.append(len(inputs["x"]))
        assert self.seen[-1] in self.sizes
        return {"y": 2 * inputs["x"], "count": np.array(7)}


@pytest.mark.parametrize(
    ("ranges", "wanted", "size"),
    [
        (((1, 32),), 8, 8),
        (((1, 4),), 8, 4),
        (((1, 1),), 8, 1),
        (((16, 32),), 8, 16),
        (((1, 4), (16, 32)), 8, 4),
        (((64, 64), (16, 32)), 8, 16),
    ],
)
def test_the_size_nearest_to_what_is_wanted_is_taken(
    ranges: tuple[tuple[int, int], ...], wanted: int, size: int
) -> None:
    assert BatchSizes(ranges).nearest(wanted) == size


@pytest.mark.parametrize(("size", "run"), [(16, 16), (5, 16), (1, 16), (20, 20), (40, 64)])
def test_a_batch_that_no_profile_takes_is_filled_up_and_cut_again(size: int, run: int) -> None:
    engine = Doubles(BatchSizes(((16, 32), (64, 64))))
    x = np.arange(3 * size, dtype=np.float32).reshape(size, 3)
    outputs = FilledBatches(engine, engine.sizes).run({"x": x})
    assert engine.seen == [run]
    np.testing.assert_array_equal(outputs["y"], 2 * x)
    assert outputs["count"] == 7


def test_a_batch_beyond_every_profile_is_left_for_the_engine_to_refuse() -> None:
    engine = Doubles(BatchSizes(((1, 4),)))
    with pytest.raises(AssertionError):
        FilledBatches(engine, engine.sizes).run({"x": np.zeros((9, 3))})
    assert engine.seen == [9]
