"""A model in FP16 or BF16 as one in FP32 that rounds like it, so that ONNX Runtime's CPU kernels can stand in.

ONNX Runtime's CPU provider (1.31.1) has no BF16 kernels, and runs FP16 models in FP32 without any rounding between
nodes: 60000 * 2 * 0.25 gives 30000 there, where FP16 overflows. So each node here computes in FP32, as tensor cores
accumulate, and each of its results is rounded to the 16-bit type and back by a pair of casts, which ONNX Runtime keeps
because the first loses bits. An engine that fuses nodes rounds less often, so this errs on the careful side. Nodes
inside subgraphs compute in FP32; only what leaves the subgraph is rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.prepare.onnx_graph import graphs_of, model_inputs, nodes_of, tensors_of
from pipeline.prepare.skeleton import inferred_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

_TYPE_ATTRIBUTES = frozenset({"dtype", "output_dtype", "to"})
_SUFFIX = "::wide"


def has_half_types(model: ModelProto) -> bool:
    """Whether any stored tensor, cast or interface of ``model`` is FP16 or BF16."""
    halves = _half_types()
    return (
        any(tensor.data_type in halves for tensor in tensors_of(model))
        or any(attribute.i in halves for node in nodes_of(model) for attribute in _type_attributes(node))
        or any(value.type.tensor_type.elem_type in halves for value in (*model.graph.input, *model.graph.output))
    )


def with_half_rounding(model: ModelProto) -> ModelProto:
    """A model of the same inputs and outputs that computes in FP32 and rounds as ``model`` does. Spends ``model``."""
    from onnx import inliner

    if model.functions:
        model = inliner.inline_local_functions(model)
    halves = _half_types()
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in inferred_values(model)
        if value.type.tensor_type.elem_type in halves
    }
    _widen(model)
    _round(model.graph, {value.name for value in model_inputs(model)} & types.keys(), types)
    return model


def _widen(model: ModelProto) -> None:
    """Make every 16-bit float of the model 32-bit, but for what callers of the main graph give and get."""
    from onnx import TensorProto

    halves = _half_types()
    for tensor in tensors_of(model):
        if tensor.data_type in halves:
            _widen_tensor(tensor)
    for node in nodes_of(model):
        for attribute in _type_attributes(node):
            if attribute.i in halves:
                attribute.i = TensorProto.FLOAT
    interface = {value.name for value in (*model_inputs(model), *model.graph.output)}
    for place, graph in enumerate(graphs_of(model)):
        del graph.value_info[:]
        for value in (*graph.input, *graph.output):
            inner = place > 0 or value.name not in interface
            if inner and value.type.tensor_type.elem_type in halves:
                value.type.tensor_type.elem_type = TensorProto.FLOAT


def _round(graph: GraphProto, inputs: set[str], types: dict[str, int]) -> None:
    """Put casts behind each result in ``types``; the graph's own inputs and outputs keep their type, by casts too."""
    from onnx import TensorProto, helper

    outputs = {value.name for value in graph.output} & types.keys()
    renamed = {name: f"{name}{_SUFFIX}" for name in (inputs | outputs)}
    nodes = [helper.make_node("Cast", [name], [renamed[name]], to=TensorProto.FLOAT) for name in sorted(inputs)]
    for node in graph.node:
        _rename(node, renamed)
        nodes.append(node)
        for place, name in enumerate(node.output):
            kind = types.get(name.removesuffix(_SUFFIX))
            if kind is not None:
                exact, narrow = f"{name}::exact", f"{name}::narrow"
                node.output[place] = exact
                nodes.append(helper.make_node("Cast", [exact], [narrow], to=kind))
                nodes.append(helper.make_node("Cast", [narrow], [name], to=TensorProto.FLOAT))
    nodes += [helper.make_node("Cast", [renamed[name]], [name], to=types[name]) for name in sorted(outputs - inputs)]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(node: NodeProto, renamed: dict[str, str]) -> None:
    for names in (node.input, node.output):
        for place, name in enumerate(names):
            if name in renamed:
                names[place] = renamed[name]
    for attribute in node.attribute:
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            for inner in graph.node:
                _rename(inner, renamed)
            for value in graph.output:
                value.name = renamed.get(value.name, value.name)


def _widen_tensor(tensor: TensorProto) -> None:
    import numpy as np
    from onnx import numpy_helper

    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def _type_attributes(node: NodeProto) -> Iterator[AttributeProto]:
    return (attribute for attribute in node.attribute if attribute.name in _TYPE_ATTRIBUTES)


def _half_types() -> frozenset[int]:
    from onnx import TensorProto

    return frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
