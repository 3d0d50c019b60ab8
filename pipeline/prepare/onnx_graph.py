"""Walks over a whole ONNX model, subgraphs and functions included, and names its nodes.

The rule for names: a node keeps the name that the model gives it. A node without one, or with one that an earlier
node already has, is called ``<name or operator type>_<n>``, where n is its place in the walk (from 0), with as many
underscores added as make it unique. So the same file always gives the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto, ValueInfoProto

UNKNOWN_AXIS = "?"
"""What Paddle's exporter calls each axis whose size it does not know. TensorRT takes axes of one name to be equal."""


def graphs_of(model: ModelProto) -> Iterator[GraphProto]:
    """The main graph, its subgraphs, those of functions, and those meant for training, outer before inner."""
    yield from _graphs_within(model.graph)
    for function in model.functions:
        yield from _subgraphs(function.node)
    for training in model.training_info:
        yield from _graphs_within(training.initialization)
        yield from _graphs_within(training.algorithm)


def nodes_of(model: ModelProto) -> Iterator[NodeProto]:
    """Every node that the main graph runs, subgraphs included; nodes of model-local functions are not."""
    for graph in _graphs_within(model.graph):
        yield from graph.node


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor stored in the model: initializers and attributes, dense and sparse."""
    for graph in graphs_of(model):
        yield from graph.initializer
        yield from _dense(graph.sparse_initializer)
        yield from _attribute_tensors(graph.node)
    for function in model.functions:
        yield from _attribute_tensors(function.node)


def model_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """Inputs that a caller must give; before IR version 4, initializers are listed among them."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initializers]


def is_text(message: Any) -> bool:
    """Whether every name in a protobuf message and below is UTF-8; protobuf hands out ``bytes`` where one is not."""
    if message.DESCRIPTOR.name == "TensorProto":
        return isinstance(message.name, str) and all(map(is_text, message.external_data))
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE) or field.name == "doc_string":
            continue
        single = isinstance(value, str | bytes) or hasattr(value, "ListFields")
        for item in [value] if single else value:
            if not (isinstance(item, str) if field.type == field.TYPE_STRING else is_text(item)):
                return False
    return True


def domain_name(name: str) -> str:
    """An operator domain's name; the default domain has two, the empty one and ``ai.onnx``."""
    return name or "ai.onnx"


def name_nodes(model: ModelProto) -> bool:
    """Give every node of ``nodes_of`` a unique name, in place, by the rule above; whether any was new."""
    nodes = list(nodes_of(model))
    named = 0
    taken = {node.name for node in nodes}
    seen: set[str] = set()
    for place, node in enumerate(nodes):
        if not node.name or node.name in seen:
            name = f"{node.name or node.op_type}_{place}"
            while name in taken:
                name += "_"
            taken.add(name)
            node.name = name
            named += 1
        seen.add(node.name)
    return named > 0


def forget_unknown_axes(model: ModelProto) -> bool:
    """Take the name of ``UNKNOWN_AXIS`` from the axes of inputs and outputs, in place; whether any had it."""
    axes = [
        axis
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info)
        for axis in value.type.tensor_type.shape.dim
        if axis.dim_param == UNKNOWN_AXIS
    ]
    for axis in axes:
        axis.ClearField("dim_param")
    return bool(axes)


def _graphs_within(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    yield from _subgraphs(graph.node)


def _subgraphs(nodes: Iterable[NodeProto]) -> Iterator[GraphProto]:
    for attribute in _attributes(nodes):
        if attribute.HasField("g"):
            yield from _graphs_within(attribute.g)
        for graph in attribute.graphs:
            yield from _graphs_within(graph)


def _attribute_tensors(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for attribute in _attributes(nodes):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from _dense([attribute.sparse_tensor])
        yield from _dense(attribute.sparse_tensors)


def _attributes(nodes: Iterable[NodeProto]) -> Iterator[AttributeProto]:
    for node in nodes:
        yield from node.attribute


def _dense(tensors: Iterable[SparseTensorProto]) -> Iterator[TensorProto]:
    for tensor in tensors:
        yield tensor.values
        yield tensor.indices
