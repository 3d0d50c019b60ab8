"""Where quantize / dequantize pairs go so that TensorRT can fuse them.

The rules are those of the TensorRT documentation ("Explicit quantization: Q/DQ layer-placement recommendations"):
all inputs of convolutions and matrix products are quantized; their outputs, biases and what is fused into them
(normalisation, activation) are not. The addition that closes a residual connection is fused into the convolution
that feeds it, provided that the other branch arrives as INT8: so that branch gets a pair, and the fused one none.
Poolings get a pair on their input where their result is quantized again, so that they run in INT8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from onnx import NodeProto

    from pipeline.prepare.graph import GraphIndex

_CONVOLUTIONS = {"Conv": 0, "ConvTranspose": 1}
_PRODUCTS = frozenset({"Gemm", "MatMul"})
_POOLINGS = frozenset({"AveragePool", "GlobalAveragePool", "MaxPool"})
_SHAPE_CHANGES = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_POINTWISE = frozenset(
    {"BatchNormalization", "Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Sigmoid"}
)
RANGE_KEEPING = _SHAPE_CHANGES | {"MaxPool"}
"""Operators whose result holds only values of their input. TensorRT's own tables give both the same scale."""


@dataclass(frozen=True, slots=True, order=True)
class QuantizedInput:
    """Input ``position`` of node ``node`` gets a pair. ``axis`` is that of a weight's scales.

    ``constant`` inputs become INT8 weights, with one scale per slice along ``axis``, or one in all where it is
    ``None``; the others are activations, with the table's scale.
    """

    node: str
    position: int
    tensor: str
    constant: bool
    axis: int | None = None


def is_quantizable(node: NodeProto) -> bool:
    """Whether INT8 has kernels for the operator: a convolution or a matrix product."""
    return node.domain in ("", "ai.onnx") and (node.op_type in _CONVOLUTIONS or node.op_type in _PRODUCTS)


def range_source(index: GraphIndex, tensor: str) -> str:
    """The first float32 tensor whose values alone ``tensor`` holds, following operators that keep the range."""
    from onnx import TensorProto

    source = tensor
    while (producer := index.producers.get(source)) is not None and producer.op_type in RANGE_KEEPING:
        before = producer.input[0]
        if before in index.constants or index.element_types.get(before) != TensorProto.FLOAT:
            break
        source = before
    return source


def place_pairs(
    index: GraphIndex, calibrated: Collection[str], may_quantize: Callable[[NodeProto], bool]
) -> tuple[QuantizedInput, ...]:
    """All inputs to be quantized, in the order of the graph.

    ``calibrated`` are the tensors that have a scale; a node is quantized as a whole or not at all.
    """
    weighted: dict[str, tuple[QuantizedInput, ...]] = {}
    for node in index.nodes:
        if is_quantizable(node) and may_quantize(node):
            inputs = _weighted_inputs(index, node, calibrated)
            if inputs:
                weighted[node.name] = inputs
    ahead = _quantized_again(index, frozenset(weighted))
    placed = [item for inputs in weighted.values() for item in inputs]
    for node in index.nodes:
        if node.name in weighted or not may_quantize(node) or node.output[0] not in ahead:
            continue
        if node.op_type in _POOLINGS and node.input[0] in calibrated:
            placed.append(QuantizedInput(node.name, 0, node.input[0], constant=False))
        elif node.op_type == "Add":
            position = _residual_position(index, node, frozenset(weighted))
            if position is not None and node.input[position] in calibrated:
                placed.append(QuantizedInput(node.name, position, node.input[position], constant=False))
    return tuple(sorted(placed, key=lambda item: (index.positions[item.node], item.position)))


def _weighted_inputs(index: GraphIndex, node: NodeProto, calibrated: Collection[str]) -> tuple[QuantizedInput, ...]:
    weights = [tensor in index.constants for tensor in node.input[:2]]
    if all(weights) or (node.op_type in _CONVOLUTIONS and weights != [False, True]):
        return ()
    inputs: list[QuantizedInput] = []
    for position, tensor in enumerate(node.input[:2]):
        if not weights[position]:
            if tensor not in calibrated or not _is_single(index, tensor):
                return ()
            inputs.append(QuantizedInput(node.name, position, tensor, constant=False))
            continue
        if tensor not in index.initializers or not _is_single(index, tensor):
            return ()
        rank = len(index.initializers[tensor].dims)
        if rank < 2:
            return ()
        axis = _weight_axis(node, position, rank)
        inputs.append(QuantizedInput(node.name, position, tensor, constant=True, axis=axis))
    return tuple(inputs)


def _weight_axis(node: NodeProto, position: int, rank: int) -> int | None:
    """The axis of a weight that is the output's channel; ``None`` where there is not one scale per channel.

    A grouped transposed convolution has the groups' channels on two axes, and a weight of three or more dimensions
    is a stack of matrices.
    """
    attributes = {item.name: item.i for item in node.attribute}
    if node.op_type in _CONVOLUTIONS:
        grouped = node.op_type == "ConvTranspose" and attributes.get("group", 1) > 1
        return None if grouped else _CONVOLUTIONS[node.op_type]
    if position == 0 or rank > 2:
        return None
    return 0 if attributes.get("transB", 0) else 1


def _is_single(index: GraphIndex, tensor: str) -> bool:
    from onnx import TensorProto

    return index.element_types.get(tensor) == TensorProto.FLOAT


def _quantized_again(index: GraphIndex, weighted: frozenset[str]) -> frozenset[str]:
    """Tensors that reach a quantized node through nothing but what INT8 passes through or is fused into it."""
    through = _POOLINGS | _SHAPE_CHANGES | _POINTWISE | {"Add", "Concat"}
    ahead: set[str] = set()
    for node in reversed(index.nodes):
        if node.name in weighted:
            ahead.update(node.input[:2])
        elif node.op_type in through and node.output[0] in ahead:
            ahead.update(node.input[:1] if node.op_type in _POINTWISE else node.input)
    return frozenset(ahead)


def _residual_position(index: GraphIndex, node: NodeProto, weighted: frozenset[str]) -> int | None:
    """Which input of an addition is the shortcut, or ``None`` where no convolution can take the addition in.

    Where both branches end in a convolution, the later one takes the addition in.
    """
    if any(tensor in index.constants for tensor in node.input) or node.input[0] == node.input[1]:
        return None
    ends = [_convolution_position(index, tensor, weighted) for tensor in node.input]
    if max(ends) < 0:
        return None
    return 0 if ends[1] > ends[0] else 1


def _convolution_position(index: GraphIndex, tensor: str, weighted: frozenset[str]) -> int:
    producer = index.producers.get(tensor)
    if producer is None or len(index.consumers[tensor]) > 1 or tensor in index.outputs:
        return -1
    if producer.op_type == "BatchNormalization":
        return _convolution_position(index, producer.input[0], weighted)
    fused = producer.op_type in _CONVOLUTIONS and producer.name in weighted
    return index.positions[producer.name] if fused else -1
