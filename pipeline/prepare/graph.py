"""Who makes, who reads and what type is each tensor of an ONNX graph: the questions that graph changes ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.prepare.onnx_graph import graphs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto


@dataclass(frozen=True, slots=True)
class GraphIndex:
    """The main graph at one moment. Changing the graph does not change its index.

    ``consumers`` counts a node with subgraphs as a reader of each outer tensor that the subgraphs use.
    ``constants`` are initializers and all that nodes compute from constants alone. ``element_types`` are
    ``TensorProto.DataType`` numbers; a tensor whose type could not be inferred is missing.
    """

    nodes: tuple[NodeProto, ...]
    producers: Mapping[str, NodeProto]
    consumers: Mapping[str, tuple[NodeProto, ...]]
    positions: Mapping[str, int]
    """Node name -> its place in the order of the graph."""
    initializers: Mapping[str, TensorProto]
    constants: frozenset[str]
    inputs: frozenset[str]
    """Graph inputs that are no initializers."""
    outputs: frozenset[str]
    element_types: Mapping[str, int]


class NewNames:
    """Names for new nodes and tensors that nothing in the model has yet."""

    def __init__(self, model: ModelProto) -> None:
        self._taken: set[str] = set()
        for graph in graphs_of(model):
            self._taken.update(name for node in graph.node for name in (node.name, *node.input, *node.output))
            self._taken.update(value.name for value in (*graph.input, *graph.output))
            self._taken.update(tensor.name for tensor in graph.initializer)

    def new(self, wanted: str) -> str:
        """``wanted``, or ``wanted_2``, ``wanted_3`` … where that is taken. It is taken from now on."""
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name


def index_from_model(model: ModelProto) -> GraphIndex:
    """Index the main graph of ``model``, with types inferred by onnx."""
    graph = model.graph
    nodes = tuple(graph.node)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    constants = set(initializers) | {tensor.values.name for tensor in graph.sparse_initializer}
    consumers: dict[str, list[NodeProto]] = {}
    for node in nodes:
        read = tensors_read(node)
        for tensor in read:
            consumers.setdefault(tensor, []).append(node)
        if node.op_type == "Constant" or (read and all(tensor in constants for tensor in read)):
            constants.update(node.output)
    return GraphIndex(
        nodes=nodes,
        producers={tensor: node for node in nodes for tensor in node.output if tensor},
        consumers={tensor: tuple(readers) for tensor, readers in consumers.items()},
        positions={node.name: position for position, node in enumerate(nodes)},
        initializers=initializers,
        constants=frozenset(constants),
        inputs=frozenset(value.name for value in graph.input) - set(initializers),
        outputs=frozenset(value.name for value in graph.output),
        element_types=_element_types(model),
    )


def tensors_read(node: NodeProto) -> tuple[str, ...]:
    """What ``node`` reads from its own graph: its inputs, then what its subgraphs use of the outside; each once."""
    names = dict.fromkeys(tensor for tensor in node.input if tensor)
    for graph in subgraphs(node):
        names.update(dict.fromkeys(_captured(graph)))
    return tuple(names)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs among the attributes of ``node`` (the branches of ``If``, the bodies of ``Loop`` and ``Scan``)."""
    for attribute in node.attribute:
        yield from _graphs_of(attribute)


def sort_nodes(graph: GraphProto) -> None:
    """Put each node after those it reads from; otherwise the order stays. Subgraphs are left alone."""
    nodes = list(graph.node)
    producers = {tensor: position for position, node in enumerate(nodes) for tensor in node.output if tensor}
    order: list[int] = []
    placed: set[int] = set()
    for start in range(len(nodes)):
        stack = [start]
        while stack:
            position = stack[-1]
            if position in placed:
                stack.pop()
                continue
            sources = {producers[tensor] for tensor in tensors_read(nodes[position]) if tensor in producers}
            missing = sorted(sources - placed - {position}, reverse=True)
            if missing:
                stack.extend(missing)
            else:
                order.append(stack.pop())
                placed.add(position)
    if order != list(range(len(nodes))):
        replace_nodes(graph, [nodes[position] for position in order])


def replace_nodes(graph: GraphProto, nodes: list[NodeProto]) -> None:
    """Make ``nodes`` the nodes of ``graph``."""
    del graph.node[:]
    graph.node.extend(nodes)


def _graphs_of(attribute: AttributeProto) -> Iterator[GraphProto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _captured(graph: GraphProto) -> Iterator[str]:
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own.update(tensor for node in graph.node for tensor in node.output)
    for node in graph.node:
        yield from (tensor for tensor in tensors_read(node) if tensor not in own)
    yield from (value.name for value in graph.output if value.name not in own)


def _element_types(model: ModelProto) -> dict[str, int]:
    from pipeline.prepare.skeleton import inferred_values

    types = {
        value.name: value.type.tensor_type.elem_type
        for value in inferred_values(model)
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type
    }
    types.update((tensor.name, tensor.data_type) for tensor in model.graph.initializer)
    return types
