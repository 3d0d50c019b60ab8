"""Which results of a model FP16 cannot hold, so that whoever reads of a poor FP16 engine knows which layers to keep.

Runs the original model once more, with the largest magnitude of each result as an output, in a child process.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.precision import Precision
from pipeline.prepare.graph import NewNames, index_from_model
from pipeline.prepare.half import LARGEST_HALF
from pipeline.prepare.onnx_model import load_model, save_model
from pipeline.prepare.skeleton import with_opset
from pipeline.verify.comparison import Overflow
from pipeline.verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from pipeline.verify.comparison import Comparison

_IN_FP16 = frozenset({Precision.FP16, Precision.INT8_FP16})
_INFINITE_IN_EFFECT = 1e30
"""Such numbers mask what is to be left out, and do so in FP16 too."""
_AS_GOOD_AS_EQUAL = 0.999
_REDUCE_OPSET = 13


def with_overflows(
    comparison: Comparison,
    request: Mapping[str, Any],
    batches: Iterator[Mapping[str, npt.NDArray[Any]]],
    folder: Path,
) -> Comparison:
    """``comparison`` with the nodes whose results on the first of ``batches`` are beyond FP16, in the graph's order.

    ``request`` is that of the comparison: of it count ``reference`` and the candidate's ``precision``. Nothing is
    looked for where the candidate computes in no FP16, or where its outputs are near enough, nor found where the
    original cannot be run so. Writes into ``folder``.
    """
    near = all(not output.non_finite and (output.similarity or 0) >= _AS_GOOD_AS_EQUAL for output in comparison.outputs)
    if near or Precision(request["precision"]) not in _IN_FP16:
        return comparison
    try:
        return replace(comparison, overflows=_beyond_half(Path(request["reference"]), next(batches), folder))
    except (ModelError, MemoryError, OSError):
        return comparison  # What is wrong was found already; this would only have said more of it.


def _beyond_half(reference: Path, batch: Mapping[str, npt.NDArray[Any]], folder: Path) -> tuple[Overflow, ...]:
    from onnx import TensorProto, helper

    model = with_opset(load_model(reference), _REDUCE_OPSET)
    index, names = index_from_model(model), NewNames(model)
    measured: dict[str, tuple[str, str]] = {}
    del model.graph.output[:]
    for node in index.nodes:
        for tensor in node.output:
            if index.element_types.get(tensor) != TensorProto.FLOAT:
                continue
            size, largest = names.new(f"{tensor}::size"), names.new(f"{tensor}::largest")
            model.graph.node.append(helper.make_node("Abs", [tensor], [size]))
            model.graph.node.append(helper.make_node("ReduceMax", [size], [largest], keepdims=0))
            model.graph.output.append(helper.make_tensor_value_info(largest, TensorProto.FLOAT, []))
            measured[largest] = (node.name, node.op_type)
    measuring = folder / "measuring"
    measuring.mkdir()
    path = measuring / save_model(model, measuring)[0]
    found: dict[str, Overflow] = {}
    for name, value in Session(path, "original model").run(batch).items():
        node_name, operator = measured[name]
        if LARGEST_HALF < float(np.max(value, initial=0)) < _INFINITE_IN_EFFECT:
            found.setdefault(node_name, Overflow(node=node_name, operator=operator, largest=float(value)))
    return tuple(found.values())
