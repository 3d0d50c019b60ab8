"""FP16 and BF16 in the model, for builders that take each type from the graph (TensorRT 11, TensorRT-RTX).

``half_casts`` places the casts. BF16 takes the same ones; its weights are rounded from the original FP32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import ModelError
from pipeline.prepare.batch_norm import fold_batch_norms
from pipeline.prepare.constants import drop_unused_initializers, hoist_constants
from pipeline.prepare.graph import index_from_model
from pipeline.prepare.half_casts import ALWAYS_FLOAT_INPUTS, with_half_casts
from pipeline.prepare.onnx_graph import graphs_of, nodes_of, tensors_of
from pipeline.prepare.shape_arithmetic import float_shape_arithmetic
from pipeline.prepare.skeleton import with_opset

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from onnx import GraphProto, ModelProto, TensorProto

    from pipeline.prepare.graph import GraphIndex

BFLOAT16_OPSET = 22
"""The first opset in which convolutions and poolings take BF16."""
LARGEST_HALF = 65504.0
_FLOAT_BY_DEFINITION = frozenset({"CumSum", "NonMaxSuppression", "RandomUniformLike", "Range", "RoiAlign"})
"""Counters, coordinates and random numbers: FP16 cannot count beyond 2048."""
_OF_STATISTICS = "BatchNormalization"
"""Variances may lie beyond FP16, and BF16 has two digits of them. A convolution before takes them in where it can."""
_NOT_BUILT_IN_BFLOAT16 = frozenset({"ConvTranspose", "HardSwish", "LpNormalization", "LpPool", "Mish"})
"""What TensorRT-RTX 1.7.1 builds in FP16, of all that ONNX has in BF16."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Halved:
    """The converted model, which nodes still compute in FP32, and what the user should know."""

    model: ModelProto
    kept: frozenset[str]
    warnings: tuple[str, ...]


def to_float16(model: ModelProto, keep: Collection[str]) -> Halved:
    """The model with FP16 weights and arithmetic; its inputs and outputs stay FP32. ``model`` is spent.

    Nodes named in ``keep`` stay FP32, as do those that have no FP16 form. Weights beyond 65504 are cut to that, and
    reported. Raises ``ModelError`` where a node inside a subgraph would have to stay FP32.
    """
    _simplify(model, keep)
    kept = _kept(model, keep, "tensor(float16)", _FLOAT_BY_DEFINITION)
    warnings = _overflow_warnings(model, kept)
    return Halved(with_half_casts(model, kept), kept, warnings)


def to_bfloat16(model: ModelProto, keep: Collection[str]) -> Halved:
    """The model with BF16 weights and arithmetic in opset 22 or later; otherwise as ``to_float16``.

    Raises ``ModelError`` also where the model holds FP16 already.
    """
    from onnx import TensorProto

    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in tensors_of(model)):
        raise ModelError("the model holds FP16 weights, which BF16 would only make worse", fix="give the FP32 model")
    model = with_opset(model, BFLOAT16_OPSET)
    _simplify(model, keep)
    _drop_unread_regions(model)
    kept = _kept(model, keep, "tensor(bfloat16)", _FLOAT_BY_DEFINITION | _NOT_BUILT_IN_BFLOAT16)
    rounded = {key: _bfloat16_bytes(tensor) for key, tensor in _float_tensors(model)}
    converted = with_half_casts(model, kept)
    for key, tensor in _half_tensors(converted):
        data = rounded.get(key)
        if data is None:
            data = _bfloat16_bytes(tensor)
        for field in ("float_data", "int32_data"):
            tensor.ClearField(field)
        tensor.data_type = TensorProto.BFLOAT16
        tensor.raw_data = data
    _rename_type(converted, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return Halved(converted, kept, ())


def _simplify(model: ModelProto, keep: Collection[str]) -> None:
    hoist_constants(model)
    if fold_batch_norms(model, lambda node: node.name not in keep):
        drop_unused_initializers(model)


def _kept(model: ModelProto, keep: Collection[str], wanted: str, operators: frozenset[str]) -> frozenset[str]:
    """Names of the nodes that stay FP32, those of ``operators`` among them."""
    index = index_from_model(model)
    statistics = frozenset(node.name for node in model.graph.node if node.op_type == _OF_STATISTICS)
    return (
        frozenset(keep)
        | _without_form(model, index, wanted)
        | _of_types(model, operators)
        | statistics
        | float_shape_arithmetic(index)
    )


def _drop_unread_regions(model: ModelProto) -> None:
    """Take the region of interest from each Resize that does not crop to it: ONNX has none in BF16."""
    for node in nodes_of(model):
        modes = [item.s for item in node.attribute if item.name == "coordinate_transformation_mode"]
        if node.op_type == "Resize" and len(node.input) > 1 and modes != [b"tf_crop_and_resize"]:
            node.input[1] = ""


def _without_form(model: ModelProto, index: GraphIndex, wanted: str) -> frozenset[str]:
    """Names of nodes with a float32 input or output whose operator does not take or give the ``wanted`` type."""
    from onnx import TensorProto, defs

    types = index.element_types
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    found = set()
    for node in nodes_of(model):
        domain = node.domain or "ai.onnx"
        if not defs.has(node.op_type, node.domain):
            found.add(node.name)
            continue
        schema = defs.get_schema(node.op_type, opsets.get(domain, 1), node.domain)
        always = ALWAYS_FLOAT_INPUTS.get(node.op_type, frozenset())
        inputs = [(tensor, position) for position, tensor in enumerate(node.input) if position not in always]
        outputs = [(tensor, position) for position, tensor in enumerate(node.output)]
        for tensors, formals in ((inputs, schema.inputs), (outputs, schema.outputs)):
            floats = (position for tensor, position in tensors if types.get(tensor) == TensorProto.FLOAT)
            if any(wanted not in formals[min(position, len(formals) - 1)].types for position in floats):
                found.add(node.name)
    return frozenset(found)


def _of_types(model: ModelProto, operators: frozenset[str]) -> frozenset[str]:
    return frozenset(node.name for node in nodes_of(model) if node.op_type in operators)


def _overflow_warnings(model: ModelProto, kept: frozenset[str]) -> tuple[str, ...]:
    from onnx import numpy_helper

    weights = {tensor.name: tensor for _, tensor in _float_tensors(model)}
    read = {name for node in nodes_of(model) if node.name not in kept for name in node.input}
    beyond = []
    for name in sorted(read & weights.keys()):
        values = np.abs(numpy_helper.to_array(weights[name]))
        largest = float(np.max(values, where=np.isfinite(values), initial=0))
        if largest > LARGEST_HALF:
            beyond.append(f"{name} ({largest:.4g})")
    if not beyond:
        return ()
    more = f" and {len(beyond) - _SHOWN} more" if len(beyond) > _SHOWN else ""
    return (f"weights beyond FP16's largest number, 65504, were cut to it: {', '.join(beyond[:_SHOWN])}{more}",)


def _float_tensors(model: ModelProto) -> Iterator[tuple[tuple[str, str], TensorProto]]:
    from onnx import TensorProto

    return ((key, tensor) for key, tensor in _keyed_tensors(model) if tensor.data_type == TensorProto.FLOAT)


def _half_tensors(model: ModelProto) -> Iterator[tuple[tuple[str, str], TensorProto]]:
    from onnx import TensorProto

    return ((key, tensor) for key, tensor in _keyed_tensors(model) if tensor.data_type == TensorProto.FLOAT16)


def _keyed_tensors(model: ModelProto) -> Iterator[tuple[tuple[str, str], TensorProto]]:
    """Every dense tensor with a key that the converter does not change: node and attribute, or initializer."""
    for graph in graphs_of(model):
        yield from (((("", tensor.name)), tensor) for tensor in graph.initializer)
        for node in graph.node:
            for item in node.attribute:
                if item.HasField("t"):
                    yield (node.name, item.name), item.t


def _bfloat16_bytes(tensor: TensorProto) -> bytes:
    """The values rounded to the nearest BF16, ties to even, little-endian."""
    import ml_dtypes
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor).astype(np.float32)
    rounded: bytes = values.astype(ml_dtypes.bfloat16).tobytes()
    return rounded


def _rename_type(model: ModelProto, before: int, after: int) -> None:
    for graph in graphs_of(model):
        _rename_value_types(graph, before, after)
        for node in graph.node:
            for item in node.attribute:
                if item.name in ("to", "dtype", "output_dtype") and item.i == before:
                    item.i = after


def _rename_value_types(graph: GraphProto, before: int, after: int) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if value.type.HasField("tensor_type") and kind.elem_type == before:
            kind.elem_type = after
