"""Folding batch normalisation into the convolution before it.

INT8 weights need one scale per output channel of what is really computed, so the folding must come before the
quantization. It is exact but for rounding: computed in double precision, stored in single.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.prepare.graph import NewNames, index_from_model, replace_nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from pipeline.prepare.graph import GraphIndex

_DEFAULT_EPSILON = 1e-5


def fold_batch_norms(model: ModelProto, may_fold: Callable[[NodeProto], bool]) -> int:
    """Fold in place each BatchNormalization after a Conv whose output nothing else reads; returns how many.

    The convolution then makes the tensor that the normalisation made. ``may_fold`` is asked for both nodes.
    """
    from onnx import helper, numpy_helper

    index = index_from_model(model)
    new_names = NewNames(model)
    folded: set[str] = set()
    for norm in index.nodes:
        convolution = _foldable_convolution(index, norm)
        if convolution is None or not (may_fold(norm) and may_fold(convolution)):
            continue
        scale, shift, mean, variance = (_double(index, name) for name in norm.input[1:5])
        epsilon = next((item.f for item in norm.attribute if item.name == "epsilon"), _DEFAULT_EPSILON)
        factor = scale / np.sqrt(variance + epsilon)
        weight = _double(index, convolution.input[1])
        bias = _double(index, convolution.input[2]) if len(convolution.input) > 2 and convolution.input[2] else 0.0
        new_weight = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
        new_bias = shift + (bias - mean) * factor
        names = [new_names.new(f"{norm.output[0]}_folded_{part}") for part in ("weight", "bias")]
        for name, value in zip(names, (new_weight, new_bias), strict=True):
            model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
        attributes = {item.name: helper.get_attribute_value(item) for item in convolution.attribute}
        data = convolution.input[0]
        replacement = helper.make_node(
            "Conv", [data, *names], [norm.output[0]], convolution.name, domain=convolution.domain, **attributes
        )
        convolution.CopyFrom(replacement)
        folded.add(norm.name)
    replace_nodes(model.graph, [node for node in index.nodes if node.name not in folded])
    return len(folded)


def _foldable_convolution(index: GraphIndex, norm: NodeProto) -> NodeProto | None:
    if norm.op_type != "BatchNormalization" or any(norm.output[1:]):
        return None
    if any(item.name == "training_mode" and item.i for item in norm.attribute):
        return None
    convolution = index.producers.get(norm.input[0])
    if convolution is None or convolution.op_type != "Conv":
        return None
    parameters = [*norm.input[1:5], *(name for name in convolution.input[1:] if name)]
    alone = len(index.consumers[norm.input[0]]) == 1 and norm.input[0] not in index.outputs
    return convolution if alone and all(_is_single(index, name) for name in parameters) else None


def _is_single(index: GraphIndex, name: str) -> bool:
    from onnx import TensorProto

    return name in index.initializers and index.initializers[name].data_type == TensorProto.FLOAT


def _double(index: GraphIndex, name: str) -> NDArray[np.float64]:
    from onnx import numpy_helper

    return numpy_helper.to_array(index.initializers[name]).astype(np.float64)
