"""From a calibration table to a model with Q/DQ nodes: symmetric INT8, one scale per weight channel, float biases.

The pass is this project's own because the table must decide the scales to the last bit, and because
onnxruntime.quantization derives them anew from ranges and places pairs for its own kernels (on outputs, on both
inputs of every addition), not for TensorRT's fusions. The same table gives the same model under every onnxruntime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import ModelError
from pipeline.prepare.batch_norm import fold_batch_norms
from pipeline.prepare.constants import drop_unused_initializers, hoist_constants
from pipeline.prepare.graph import NewNames, index_from_model, replace_nodes
from pipeline.prepare.qdq_placement import is_quantizable, place_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from pipeline.prepare.calibration_table import CalibrationTable
    from pipeline.prepare.graph import GraphIndex
    from pipeline.prepare.qdq_placement import QuantizedInput

SINGLE_SCALES_OPSET = 13
"""The first opset whose Q/DQ nodes have one scale per channel."""
HALF_SCALES_OPSET = 19
"""The first opset whose Q/DQ nodes take and give FP16."""
_LARGEST_INTEGER = 127


@dataclass(frozen=True, slots=True)
class Quantized:
    """What was done. ``activations`` maps each activation that has a pair to the name of its scale's initializer."""

    nodes: int
    activations: dict[str, str]


def has_quantize_nodes(model: ModelProto) -> bool:
    """Whether the model brings Q/DQ nodes of its own, as after quantization-aware training."""
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)


def quantize(
    model: ModelProto, table: CalibrationTable, *, half_scales: bool, may_quantize: Callable[[NodeProto], bool]
) -> Quantized:
    """Insert Q/DQ pairs, in place, for every node that ``may_quantize`` allows and whose activations are in the table.

    The model must be of opset 13 at least. ``half_scales`` rounds the weights' scales up to FP16, so that the
    conversion of the rest to FP16 leaves them as they are. Raises ``ModelError`` where nothing could be quantized
    though the model has nodes that could be.
    """
    hoist_constants(model)
    fold_batch_norms(model, may_quantize)
    index = index_from_model(model)
    inputs = place_pairs(index, table.scales, may_quantize)
    wanted = [node for node in index.nodes if is_quantizable(node) and may_quantize(node)]
    if wanted and not inputs:
        raise ModelError(
            "nothing in the model could be quantized",
            why=f"no activation of its {len(wanted)} convolutions and matrix products is in the calibration table "
            "and of type float32 with a constant float32 weight",
            fix="give the FP32 model and calibration data that reaches these nodes",
        )
    writer = _PairWriter(model, table, half_scales)
    writer.write(index, inputs)
    drop_unused_initializers(model)
    return Quantized(len({item.node for item in inputs}), writer.scale_names)


def weight_scales(weight: NDArray[np.float32], axis: int | None, *, half: bool) -> NDArray[np.float32]:
    """The scale, amax / 127, for each slice along ``axis`` (float32[channels]), or for all (float32[]); never zero.

    A slice of zeros gets 1. With ``half``, scales are rounded up to a value of FP16, so that nothing is clipped.
    """
    others = tuple(number for number in range(weight.ndim) if number != axis) if axis is not None else None
    amax = np.abs(weight).max(axis=others)
    scales = np.asarray(amax / np.float32(_LARGEST_INTEGER), np.float32)
    scales = np.where(scales > 0, scales, np.float32(1))
    if not half:
        return scales
    rounded = scales.astype(np.float16)
    raised = np.nextafter(rounded, np.float16(np.inf))
    return np.where(rounded.astype(np.float32) < scales, raised, rounded).astype(np.float32)


class _PairWriter:
    """Inserts the pairs; a tensor read by several nodes has one pair, so that it is quantized once."""

    def __init__(self, model: ModelProto, table: CalibrationTable, half_scales: bool) -> None:
        self._model = model
        self._table = table
        self._half_scales = half_scales
        self._names = NewNames(model)
        self._weights: dict[tuple[str, int | None], str] = {}
        self._activations: dict[str, str] = {}
        self._zero_point = ""
        self._waiting: list[NodeProto] = []
        self.scale_names: dict[str, str] = {}

    def write(self, index: GraphIndex, inputs: tuple[QuantizedInput, ...]) -> None:
        by_node: dict[str, list[QuantizedInput]] = {}
        for item in inputs:
            by_node.setdefault(item.node, []).append(item)
        nodes: list[NodeProto] = []
        for node in index.nodes:
            for item in by_node.get(node.name, ()):
                node.input[item.position] = self._weight(index, item) if item.constant else self._activation(item)
            nodes += self._waiting
            nodes.append(node)
            self._waiting = []
        replace_nodes(self._model.graph, nodes)

    def _activation(self, item: QuantizedInput) -> str:
        from onnx import helper

        if item.tensor not in self._activations:
            scale = self._store(f"{item.tensor}_scale", np.float32(self._table.scales[item.tensor]))
            if not self._zero_point:
                self._zero_point = self._store("int8_zero_point", np.int8(0))
            quantized = self._names.new(f"{item.tensor}_quantized")
            result = self._names.new(f"{item.tensor}_dequantized")
            parameters = [scale, self._zero_point]
            self._waiting += (
                helper.make_node("QuantizeLinear", [item.tensor, *parameters], [quantized], f"{quantized}_node"),
                helper.make_node("DequantizeLinear", [quantized, *parameters], [result], f"{result}_node"),
            )
            self._activations[item.tensor] = result
            self.scale_names[item.tensor] = scale
        return self._activations[item.tensor]

    def _weight(self, index: GraphIndex, item: QuantizedInput) -> str:
        from onnx import helper, numpy_helper

        key = (item.tensor, item.axis)
        if key not in self._weights:
            weight = numpy_helper.to_array(index.initializers[item.tensor])
            if not np.isfinite(weight).all():
                raise ModelError(
                    f"the weight {item.tensor!r} holds NaN or infinity", fix="export the model again from sound weights"
                )
            scales = weight_scales(weight, item.axis, half=self._half_scales)
            shape = [1] * weight.ndim
            if item.axis is not None:
                shape[item.axis] = -1
            integers = np.rint(weight / scales.reshape(shape)).clip(-_LARGEST_INTEGER, _LARGEST_INTEGER)
            suffix = "" if item.axis is None else f"_{item.axis}"
            stored = self._store(f"{item.tensor}_quantized{suffix}", integers.astype(np.int8))
            scale = self._store(f"{item.tensor}_scale{suffix}", scales)
            zero_point = self._store(f"{item.tensor}_zero_point{suffix}", np.zeros(scales.shape, np.int8))
            result = self._names.new(f"{item.tensor}_dequantized{suffix}")
            node = helper.make_node("DequantizeLinear", [stored, scale, zero_point], [result], f"{result}_node")
            if item.axis is not None:
                node.attribute.append(helper.make_attribute("axis", item.axis))
            self._waiting.append(node)
            self._weights[key] = result
        return self._weights[key]

    def _store(self, wanted: str, value: NDArray[np.generic] | np.generic) -> str:
        from onnx import numpy_helper

        name = self._names.new(wanted)
        self._model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name
