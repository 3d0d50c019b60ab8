"""Which operators of a model the parser of TensorRT-RTX refuses: all of them, not the first.

The parser works in two phases. It checks each node on its own, by type and attributes; once a node has failed, it
goes on with that check alone. Then it imports nodes in order, and stops at the first that fails. So:

1. A node that is certain to fail is put in front, and the nodes of subgraphs are laid out beside the others: one run
   reports every node that fails the first check.
2. The nodes refused so far are cut out: their outputs become inputs where shape inference knows their type, else all
   that depends on them is cut out too. The rest is imported. What fails there is cut out in turn, until all passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.build.backend import RefusedOperator
from pipeline.build.diagnosis import reason_from_parser
from pipeline.prepare.onnx_graph import graphs_of, name_nodes, nodes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from onnx import GraphProto, ModelProto, NodeProto, TypeProto

_FIRST_NODE = "certain to fail"
_ROUNDS = 200
"""Each round reads the model anew; a model with more nodes that fail only on import is reported up to here."""

Refusals = dict[tuple[str, str], dict[str, None]]
"""(operator, reason) -> node names, in the order of discovery."""


def refused_operators(path: Path, new_parser: Callable[[], Any]) -> tuple[RefusedOperator, ...]:
    """Every operator of the ONNX file ``path`` that is refused, by operator and reason, with its nodes.

    ``new_parser`` gives an ``OnnxParser`` into an empty network. Weights in other files are left there.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    name_nodes(model)
    types = _inferred_types(model)
    refusals: Refusals = {}
    _collect(_errors(_checked_alone(model), path, new_parser), model, refusals, altered=True)
    rest = onnx.ModelProto()
    rest.CopyFrom(model)
    for _ in range(_ROUNDS):
        refused = {name for names in refusals.values() for name in names}
        _cut(rest, refused, types)
        if not rest.graph.node or not _collect(_errors(rest, path, new_parser), model, refusals, altered=bool(refused)):
            break
    return tuple(RefusedOperator(operator, tuple(names), reason) for (operator, reason), names in refusals.items())


def _errors(model: ModelProto, path: Path, new_parser: Callable[[], Any]) -> list[Any]:
    parser = new_parser()
    parser.supports_model_v2(model.SerializeToString(), str(path.absolute()))
    return [parser.get_error(index) for index in range(parser.num_errors)]


def _collect(errors: Iterable[Any], model: ModelProto, refusals: Refusals, *, altered: bool) -> bool:
    """Add ``errors`` to ``refusals``; whether any of them names a node that was not refused before.

    ``model`` is the whole one. An error that names no node says nothing about it once a graph was ``altered``.
    """
    nodes = {node.name: node for node in nodes_of(model)}
    inputs = {value.name for value in model.graph.input}
    known = {name for names in refusals.values() for name in names}
    found: set[str] = set()
    for error in errors:
        name = error.node_name()
        if name == _FIRST_NODE:
            continue
        reason = reason_from_parser(error.desc())
        if name in nodes:
            operator = _operator(nodes[name])
        elif caller := _caller(error, nodes):
            name, operator, reason = caller, _operator(nodes[caller]), f"{error.node_operator()} within it: {reason}"
        elif error.func() == "importInput" and error.file() in inputs:
            name, operator = error.file(), "input"
        elif refusals or altered:
            continue
        else:
            name, operator = "graph", "model"
        refusals.setdefault((operator, reason), {})[name] = None
        found.add(name)
    return bool(found & nodes.keys() - known)


def _caller(error: Any, nodes: Mapping[str, NodeProto]) -> str:
    """The node in whose function the error is, else ``""``; the stack reads ``node (operator)``, outermost first."""
    names = [entry.rpartition(" (")[0] for entry in error.local_function_stack()]
    return next((name for name in reversed(names) if name in nodes), "")


def _operator(node: NodeProto) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain not in {"", "ai.onnx"} else str(node.op_type)


def _inferred_types(model: ModelProto) -> dict[str, TypeProto]:
    """Types of tensors, in subgraphs too, whose rank is known and that TensorRT takes as an input."""
    import onnx

    kinds = onnx.TensorProto
    taken = {kinds.FLOAT, kinds.FLOAT16, kinds.BFLOAT16, kinds.INT8, kinds.INT32, kinds.INT64, kinds.BOOL}
    return {
        value.name: value.type
        for graph in graphs_of(onnx.shape_inference.infer_shapes(model))
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type in taken and value.type.tensor_type.HasField("shape")
    }


def _checked_alone(model: ModelProto) -> ModelProto:
    """A model whose nodes, at every depth, the parser checks one by one and never imports."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    copy.graph.node.append(onnx.helper.make_node(_FIRST_NODE, [], [_FIRST_NODE], name=_FIRST_NODE, domain=_FIRST_NODE))
    copy.graph.node.extend(model.graph.node)
    for node in model.graph.node:
        _lay_out(node, {}, copy.graph)
    copy.opset_import.add(domain=_FIRST_NODE, version=1)
    return copy


def _lay_out(node: NodeProto, scope: Mapping[str, str], target: GraphProto) -> None:
    """Append what the subgraphs of ``node`` hold to ``target``; what they define gets a name of its own there."""
    for label, graph in _bodies(node):
        defined = [value.name for value in graph.input] + [tensor.name for tensor in graph.initializer]
        defined += [name for inner in graph.node for name in inner.output if name]
        inner_scope = {**scope, **{name: f"{node.name}/{label}/{name}" for name in defined}}
        for tensor in graph.initializer:
            target.initializer.add().CopyFrom(tensor)
            target.initializer[-1].name = inner_scope[tensor.name]
        for inner in graph.node:
            laid = target.node.add()
            laid.CopyFrom(inner)
            laid.input[:] = [inner_scope.get(name, name) for name in inner.input]
            laid.output[:] = [inner_scope.get(name, name) for name in inner.output]
            _lay_out(inner, inner_scope, target)


def _cut(model: ModelProto, names: AbstractSet[str], types: Mapping[str, TypeProto]) -> None:
    """Take the nodes called ``names`` out of ``model``, and what depends on outputs of them that have no known type."""
    lost: set[str] = set()
    for node in model.graph.node:
        for _, graph in _bodies(node):
            lost |= _cut_within(graph, names, types, model.graph)
    kept = []
    for node in model.graph.node:
        if node.name not in names and not lost & _used(node):
            kept.append(node)
            continue
        for name in filter(None, node.output):
            if name in types:
                model.graph.input.add(name=name, type=types[name])
            else:
                lost.add(name)
    produced = [name for node in kept for name in node.output]
    outputs = [value for value in model.graph.output if value.name in produced]
    _replace(model.graph.node, kept)
    _replace(model.graph.output, outputs)
    if not outputs and (known := [name for name in produced if name in types]):
        model.graph.output.add(name=known[-1], type=types[known[-1]])


def _cut_within(
    graph: GraphProto, names: AbstractSet[str], types: Mapping[str, TypeProto], outer: GraphProto
) -> set[str]:
    """Let an input of ``outer`` stand for each output of the nodes to be cut; return those of unknown type."""
    lost: set[str] = set()
    for node in graph.node:
        for _, body in _bodies(node):
            lost |= _cut_within(body, names, types, outer)
    changed = []
    for node in graph.node:
        if node.name not in names:
            changed.append(node)
            continue
        for name in filter(None, node.output):
            if name in types:
                stand_in = f"{node.name}/{name}"
                outer.input.add(name=stand_in, type=types[name])
                changed.append(type(node)(op_type="Identity", name=stand_in, input=[stand_in], output=[name]))
            else:
                lost.add(name)
    _replace(graph.node, changed)
    return lost


def _bodies(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for number, graph in enumerate(attribute.graphs):
            yield f"{attribute.name}{number}", graph


def _used(node: NodeProto) -> set[str]:
    """Every tensor that the node reads, within its subgraphs too."""
    used = set(node.input)
    for _, graph in _bodies(node):
        used.update(value.name for value in graph.output)
        used.update(*map(_used, graph.node))
    return used


def _replace(field: Any, items: Iterable[Any]) -> None:
    """Set a repeated protobuf field; ``items`` may be some of its own."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
