"""Casts to half precision, placed by ``onnxruntime.transformers.float16`` and put right where it falls short.

It is preferred to ``onnxconverter_common.float16``, its ancestor, which gives invalid graphs where an output is also
read inside the graph, where a subgraph reads an outer tensor, where the model itself casts to float, and where a kept
node shares a weight with a converted one. What this module adds: kept nodes keep their exact FP32 weights and pass
FP32 on to each other, doubled casts become one, and nodes are in order again.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

from pipeline.errors import ModelError
from pipeline.prepare.graph import NewNames, replace_nodes, sort_nodes, subgraphs, tensors_read
from pipeline.prepare.onnx_graph import graphs_of, name_nodes, nodes_of
from pipeline.prepare.skeleton import with_inferred_values

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

ALWAYS_FLOAT_INPUTS = {"Resize": frozenset({1, 2}), "Upsample": frozenset({1})}
"""Inputs that hold scale factors, in FP32 whatever the type of the data."""


def with_half_casts(model: ModelProto, kept: frozenset[str]) -> ModelProto:
    """The model in FP16 but for its inputs, its outputs and the nodes named in ``kept``. ``model`` is spent.

    Raises ``ModelError`` where a kept node lies in or has a subgraph, and where initializers share a name.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    _refuse_repeated_names(model)
    _refuse_kept_in_subgraphs(model, kept)
    _separate_kept_weights(model, kept)
    typed = _with_possible_outputs(model)
    own = {node.name for node in typed.graph.node}
    converted: ModelProto = convert_float_to_float16(
        typed, keep_io_types=True, disable_shape_infer=True, op_block_list=[], node_block_list=sorted(kept)
    )
    del converted.graph.value_info[:]
    _merge_casts(converted, own)
    sort_nodes(converted.graph)
    name_nodes(converted)
    return converted


def _with_possible_outputs(model: ModelProto) -> ModelProto:
    """The model with inferred types and shapes. An output that cannot have the rank that it was given has its own.

    Exporters are told shapes by hand. Nothing looks at a wrong one until a cast before the output has one inferred.
    """
    tensors = [value for value in model.graph.output if value.type.HasField("tensor_type")]
    told = {value.name: copy.deepcopy(value.type.tensor_type) for value in tensors}
    for value in tensors:
        value.type.tensor_type.ClearField("shape")
    typed = with_inferred_values(model)
    for value in typed.graph.output:
        before, now = told.get(value.name), value.type.tensor_type
        if before is None or not before.HasField("shape"):
            continue
        if not now.HasField("shape") or len(now.shape.dim) == len(before.shape.dim):
            now.shape.CopyFrom(before.shape)
    return typed


def _refuse_repeated_names(model: ModelProto) -> None:
    names = [tensor.name for graph in graphs_of(model) for tensor in graph.initializer]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ModelError(
            f"two of the model's graphs have an initializer named {repeated[0]!r}",
            why="the converter to half precision tells initializers apart by name",
            fix="export the model with unique names",
        )


def _refuse_kept_in_subgraphs(model: ModelProto, kept: frozenset[str]) -> None:
    main = {node.name for node in model.graph.node}
    inner = sorted(node.name for node in nodes_of(model) if node.name in kept and node.name not in main)
    outer = sorted(node.name for node in model.graph.node if node.name in kept and any(subgraphs(node)))
    if inner or outer:
        raise ModelError(
            f"node {(inner or outer)[0]!r} would have to stay FP32",
            why="it lies in, or has, a subgraph, where FP32 and half precision cannot be mixed",
            fix="take fp16, bf16 and int8-fp16 out of this model's precisions, or the node out of its layer precisions",
        )


def _separate_kept_weights(model: ModelProto, kept: frozenset[str]) -> None:
    """Give kept nodes FP32 copies of the weights that they share with converted nodes."""
    from onnx import TensorProto

    graph = model.graph
    floats = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    elsewhere = {tensor for node in nodes_of(model) if node.name not in kept for tensor in node.input}
    names = NewNames(model)
    copies: dict[str, str] = {}
    for node in graph.node:
        always = range(len(node.input)) if node.name in kept else ALWAYS_FLOAT_INPUTS.get(node.op_type, ())
        for position in always:
            name = node.input[position] if position < len(node.input) else ""
            if name not in floats or (node.name in kept and name not in elsewhere):
                continue
            if name not in copies:
                copies[name] = names.new(f"{name}_fp32")
                copy = graph.initializer.add()
                copy.CopyFrom(floats[name])
                copy.name = copies[name]
            node.input[position] = copies[name]


def _merge_casts(model: ModelProto, own: set[str]) -> None:
    """Drop the converter's doubled casts, and each way from FP32 to FP16 and back, which only loses digits."""
    added = {node.output[0]: node for node in model.graph.node if node.name not in own}
    outputs = {value.name for value in model.graph.output}
    sources = _better_sources(added, outputs)
    nodes: list[NodeProto] = []
    seen: set[str] = set()
    for node in model.graph.node:
        if node.name in own:
            _read_from_sources(node, sources)
        elif node.output[0] in seen:
            continue
        elif node.output[0] in outputs & sources.keys():
            _make_identity(node, sources[node.output[0]])
        else:
            _read_from_sources(node, sources)
        seen.add(node.output[0])
        nodes.append(node)
    replace_nodes(model.graph, _without_unread(nodes, own, outputs))


def _better_sources(added: dict[str, NodeProto], outputs: set[str]) -> dict[str, str]:
    """Result of an added cast -> what to read in its place.

    That is the FP32 tensor itself where it was only cast down and up again, else the first cast alike.
    """
    from onnx import TensorProto

    sources: dict[str, str] = {}
    first: dict[tuple[str, int], str] = {}
    for node in added.values():
        before = added.get(node.input[0])
        if before is not None and _target(node) == TensorProto.FLOAT and _target(before) != TensorProto.FLOAT:
            sources[node.output[0]] = before.input[0]
        elif node.output[0] not in outputs:
            alike = first.setdefault((node.input[0], _target(node)), node.output[0])
            if alike != node.output[0]:
                sources[node.output[0]] = alike
    return sources


def _read_from_sources(node: NodeProto, sources: dict[str, str]) -> None:
    for position, tensor in enumerate(node.input):
        if tensor in sources:
            node.input[position] = sources[tensor]


def _make_identity(node: NodeProto, source: str) -> None:
    from onnx import helper

    node.CopyFrom(helper.make_node("Identity", [source], list(node.output), node.name))


def _without_unread(nodes: list[NodeProto], own: set[str], outputs: set[str]) -> list[NodeProto]:
    """The nodes without casts that nothing reads any more."""
    while True:
        read = outputs.union(*map(tensors_read, nodes))
        kept = [node for node in nodes if node.name in own or node.output[0] in read]
        if len(kept) == len(nodes):
            return nodes
        nodes = kept


def _target(cast: NodeProto) -> int:
    return next((item.i for item in cast.attribute if item.name == "to"), 0)
