"""Constants of the main graph as initializers: one form for everything that reads weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.prepare.graph import replace_nodes, tensors_read

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto


def hoist_constants(model: ModelProto) -> None:
    """Turn float Constant nodes, and Identity and Transpose of float initializers, into initializers, in place.

    Exporters write a linear layer's weight as ``Transpose`` of a stored tensor; only a stored tensor can be given
    its own quantized copy.
    """
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    kept: list[NodeProto] = []
    for node in graph.node:
        tensor = _folded(node, initializers)
        if tensor is None:
            kept.append(node)
        else:
            initializers[tensor.name] = tensor
            graph.initializer.append(tensor)
    if len(kept) < len(graph.node):
        replace_nodes(graph, kept)
        drop_unused_initializers(model)


def drop_unused_initializers(model: ModelProto) -> None:
    """Remove the main graph's initializers that no node and no output reads, in place."""
    graph = model.graph
    used = {tensor for node in graph.node for tensor in tensors_read(node)} | {value.name for value in graph.output}
    used.update(value.name for value in graph.input)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


def _folded(node: NodeProto, initializers: dict[str, TensorProto]) -> TensorProto | None:
    from onnx import TensorProto, helper, numpy_helper

    if node.domain not in ("", "ai.onnx"):
        return None
    attributes = {item.name: item for item in node.attribute}
    if node.op_type == "Constant":
        if "value" in attributes and attributes["value"].t.data_type == TensorProto.FLOAT:
            tensor = TensorProto()
            tensor.CopyFrom(attributes["value"].t)
            tensor.name = node.output[0]
            return tensor
        for name in ("value_float", "value_floats"):
            if name in attributes:
                value = np.array(helper.get_attribute_value(attributes[name]), np.float32)
                return numpy_helper.from_array(value, node.output[0])
        return None
    if node.op_type not in ("Identity", "Transpose") or node.input[0] not in initializers:
        return None
    source = initializers[node.input[0]]
    if source.data_type != TensorProto.FLOAT:
        return None
    value = numpy_helper.to_array(source)
    if node.op_type == "Transpose":
        order = tuple(attributes["perm"].ints) if "perm" in attributes else None
        value = np.ascontiguousarray(np.transpose(value, order))
    return numpy_helper.from_array(value, node.output[0])
