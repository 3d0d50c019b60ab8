"""What is fed while timing: the user's data, or random values from a seed. Runs in child processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.prepare.dataset import open_dataset
from pipeline.prepare.facts import tensor_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pipeline.prepare.facts import TensorFacts


def inputs_from_request(request: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """Input name -> array of the shape in ``request["shapes"]``.

    From ``data`` the first samples. Without it floating-point inputs are uniform in [-1, 1), and all others 0 or 1,
    which are valid as masks, as class or token numbers, and as indices of all but empty tables. Raises ``ModelError``
    where the data has other shapes.
    """
    facts = [tensor_from_json(item) for item in request["inputs"]]
    shapes = {name: tuple(shape) for name, shape in request["shapes"].items()}
    if request["data"] is None:
        return _random(facts, shapes, request["seed"])
    return _first_samples(Path(request["data"]), facts, shapes)


def _random(
    facts: Sequence[TensorFacts], shapes: Mapping[str, tuple[int, ...]], seed: int
) -> dict[str, npt.NDArray[Any]]:
    generator = np.random.default_rng(seed)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for tensor in facts:
        shape, dtype = shapes[tensor.name], np.dtype(tensor.dtype)
        if dtype.kind == "f":
            arrays[tensor.name] = generator.uniform(-1, 1, shape).astype(dtype)
        else:
            arrays[tensor.name] = generator.integers(0, 2, shape).astype(dtype)
    return arrays


def _first_samples(
    path: Path, facts: Sequence[TensorFacts], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, npt.NDArray[Any]]:
    size = next((shape[0] for shape in shapes.values() if shape), 1)
    first = next(open_dataset(path, facts, samples=None).batches(size))
    wrong = [name for name, shape in shapes.items() if first[name].shape != shape]
    if wrong:
        name = wrong[0]
        raise ModelError(
            f"the benchmark's data has {name!r} as {_text(first[name].shape)}, not {_text(shapes[name])}",
            fix="give data of that shape, choose other `benchmark.shapes`, or remove `benchmark.data`",
            where=str(path),
        )
    return first


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
