"""The model of the example as another release of an exporter might write it: the same computation, told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

_SHORTCUT, _CONV = "/block2/shortcut/shortcut.0/Conv", "/block2/conv1/Conv"


def with_other_names_and_order(model: ModelProto) -> ModelProto:
    """``model`` with other names for its nodes and the tensors between them, and a branch before the other."""
    nodes = list(model.graph.node)
    names = [node.name for node in nodes]
    nodes.insert(names.index(_CONV), nodes.pop(names.index(_SHORTCUT)))
    outputs = {value.name for value in model.graph.output}
    between = {name for node in nodes for name in node.output} - outputs
    for number, node in enumerate(nodes):
        node.name = f"node_{number}"
        for tensors in (node.input, node.output):
            tensors[:] = [f"{name}_again" if name in between else name for name in tensors]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def with_other_weight_names(model: ModelProto) -> ModelProto:
    """``model`` with other names for its stored tensors."""
    stored = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        node.input[:] = [f"{name}_again" if name in stored else name for name in node.input]
    for tensor in model.graph.initializer:
        tensor.name += "_again"
    return model
