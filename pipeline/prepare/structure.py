"""Two digests of an ONNX model: its structure, which decides what a builder makes of it, and its weights.

Structure is the graph with its operators, attributes, types and shapes, the names of inputs and outputs, and which
tensors are stored under which name, type and shape. The values of stored tensors count as structure only where they
are whole numbers of at most ``SMALL_ELEMENTS`` elements, or sizes: shapes, axes, indices. All other values are weights.

The names of stored tensors count, because TensorRT knows the weights of an engine by them. The order of the nodes,
their names and those of the tensors between them do not, since each tensor stands for how it is computed, as in a
Merkle tree. Text that no builder reads (documentation, producer, inferred shapes) does not count either.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.digest import Digest, canonical_json, digest_from_json
from pipeline.prepare.onnx_graph import domain_name, graphs_of
from pipeline.prepare.onnx_tensors import is_external, tensor_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

SMALL_ELEMENTS = 4096
_HASHERS = 4
"""Threads that hash weights, which they do at the same time; each holds one tensor."""
_SIZE_INPUTS = {"Resize": (1, 2), "Upsample": (1,), "Range": (0, 1, 2)}
"""Operator -> inputs whose values, though they may be fractions, decide shapes (ONNX operator documentation)."""


@dataclass(frozen=True, slots=True)
class ModelDigests:
    """``named`` is the structure with the names of nodes, for settings that choose nodes by their names."""

    structure: Digest
    named: Digest
    weights: Digest


def model_digests(model: ModelProto, folder: Path) -> ModelDigests:
    """Both digests of ``model``, whose external data lies in ``folder``. Raises ``TensorError`` and ``OSError``."""
    return ModelDigests(
        structure=structure_digest(model, folder),
        named=structure_digest(model, folder, named=True),
        weights=digest_from_json(weight_digests(model, folder)),
    )


def structure_digest(model: ModelProto, folder: Path, *, named: bool = False) -> Digest:
    """The digest of the structure alone; with ``named``, the names of nodes count too."""
    walk = _Walk(folder, _size_tensors(model), named=named)
    functions = [
        hashlib.sha256(function.SerializeToString(deterministic=True)).hexdigest() for function in model.functions
    ]
    return digest_from_json(
        {
            "opsets": sorted([domain_name(opset.domain), opset.version] for opset in model.opset_import),
            "functions": sorted(functions),
            "graph": walk.graph(model.graph, {}),
        }
    )


def weight_digests(model: ModelProto, folder: Path) -> dict[str, str]:
    """Name -> digest of type, shape and values, of every stored tensor whose values are no structure.

    A tensor of a ``Constant`` node has the name of the node's output. Where graphs within each other use one name for
    several, their digests stand in the order of the graphs. Raises ``TensorError`` and ``OSError``.
    """
    sizes = _size_tensors(model)
    weights = [(name, tensor) for name, tensor in stored_tensors(model) if not _is_structure(name, tensor, sizes)]
    found: dict[str, list[str]] = {}
    with ThreadPoolExecutor(_HASHERS) as pool:
        for (name, _), digest in zip(weights, pool.map(lambda each: _values(each[1], folder), weights), strict=True):
            found.setdefault(name, []).append(digest)
    return {name: "+".join(digests) for name, digests in sorted(found.items())}


def stored_tensors(model: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """Name and tensor of every initializer, and of every ``Constant`` node that holds one, subgraphs included."""
    for graph in graphs_of(model):
        for tensor in graph.initializer:
            yield tensor.name, tensor
        for node in graph.node:
            tensor_of_node = _constant(node)
            if tensor_of_node is not None:
                yield node.output[0], tensor_of_node


class _Walk:
    """The structure of graphs as JSON values. ``scope`` is tensor name -> what it stands for."""

    def __init__(self, folder: Path, sizes: frozenset[str], *, named: bool) -> None:
        self._folder = folder
        self._sizes = sizes
        self._named = named

    def graph(self, graph: GraphProto, outer: Mapping[str, str]) -> dict[str, Any]:
        """One graph; ``outer`` is the scope of those around it."""
        stored = {tensor.name: self._stored(tensor.name, tensor) for tensor in graph.initializer}
        sparse = {
            each.values.name: _text(hashlib.sha256(each.SerializeToString(deterministic=True)).hexdigest())
            for each in graph.sparse_initializer
        }
        inputs = [value for value in graph.input if value.name not in stored]
        scope = dict(outer)
        for place, value in enumerate(inputs):
            # An input of a subgraph is known by its place: its name is no interface.
            scope[value.name] = _text(["input", place, _type_of(value), "" if outer else value.name])
        scope |= stored | sparse
        nodes = [self._node(node, scope) for node in graph.node]
        return {
            "inputs": [scope[value.name] for value in inputs],
            "stored": sorted([*stored.values(), *sparse.values()]),
            "nodes": sorted(nodes),
            "outputs": [
                ["" if outer else value.name, scope.get(value.name, ""), _type_of(value)] for value in graph.output
            ],
        }

    def _node(self, node: NodeProto, scope: dict[str, str]) -> str:
        tensor = _constant(node)
        if tensor is not None:
            scope[node.output[0]] = self._stored(node.output[0], tensor)
            return scope[node.output[0]]
        text = _text(
            [
                node.name if self._named else "",
                domain_name(node.domain),
                # Absent where a function has one form alone, so that older digests hold.
                *([node.overload] if node.overload else []),
                node.op_type,
                [scope.get(name, "") for name in node.input],
                [bool(name) for name in node.output],
                sorted(self._attribute(attribute, scope) for attribute in node.attribute),
            ]
        )
        for place, name in enumerate(node.output):
            if name:
                scope[name] = _text([text, place])
        return text

    def _attribute(self, attribute: AttributeProto, scope: Mapping[str, str]) -> list[Any]:
        subgraphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
        if subgraphs:
            return [attribute.name, _text([self.graph(graph, scope) for graph in subgraphs])]
        plain = type(attribute)()
        plain.CopyFrom(attribute)
        plain.doc_string = ""
        return [attribute.name, hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()]

    def _stored(self, name: str, tensor: TensorProto) -> str:
        values = _values(tensor, self._folder) if _is_structure(name, tensor, self._sizes) else ""
        return _text(["stored", name, tensor.data_type, list(tensor.dims), values])


def _is_structure(name: str, tensor: TensorProto, sizes: frozenset[str]) -> bool:
    kind = tensor.DataType.Name(tensor.data_type)
    whole = kind.startswith(("INT", "UINT", "BOOL", "STRING"))
    count = 1
    for size in tensor.dims:
        count *= size
    return name in sizes or (whole and count <= SMALL_ELEMENTS)


def _size_tensors(model: ModelProto) -> frozenset[str]:
    return frozenset(
        node.input[place]
        for graph in graphs_of(model)
        for node in graph.node
        for place in _SIZE_INPUTS.get(node.op_type, ())
        if place < len(node.input)
    )


def _constant(node: NodeProto) -> TensorProto | None:
    """The tensor of a ``Constant`` node; ``None`` for other nodes, and for text and sparse tensors."""
    from onnx import TensorProto, helper

    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    for attribute in node.attribute:
        if attribute.name == "value":
            return attribute.t
        if attribute.name in ("value_float", "value_int"):
            kind = TensorProto.FLOAT if attribute.name == "value_float" else TensorProto.INT64
            return helper.make_tensor("", kind, [], [helper.get_attribute_value(attribute)])
        if attribute.name in ("value_floats", "value_ints"):
            kind = TensorProto.FLOAT if attribute.name == "value_floats" else TensorProto.INT64
            values = list(helper.get_attribute_value(attribute))
            return helper.make_tensor("", kind, [len(values)], values)
    return None


def _values(tensor: TensorProto, folder: Path) -> str:
    """A digest of type, shape and values, the same however the values are stored."""
    hasher = hashlib.sha256(canonical_json([tensor.data_type, list(tensor.dims)]))
    if tensor.data_type == tensor.STRING:
        for text in tensor.string_data:
            hasher.update(len(text).to_bytes(8, "little") + text)
    else:
        for piece in _raw_pieces(tensor, folder):
            hasher.update(piece)
    return hasher.hexdigest()


def _raw_pieces(tensor: TensorProto, folder: Path) -> Iterable[bytes]:
    from onnx import numpy_helper

    if is_external(tensor):
        return tensor_pieces(tensor, folder)
    if tensor.HasField("raw_data"):
        return (tensor.raw_data,)
    again: bytes = numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
    return (again,)


def _type_of(value: ValueInfoProto) -> list[Any]:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return [hashlib.sha256(value.type.SerializeToString(deterministic=True)).hexdigest()]
    if not kind.HasField("shape"):
        return [kind.elem_type]
    return [
        kind.elem_type,
        [size.dim_value if size.HasField("dim_value") else size.dim_param for size in kind.shape.dim],
    ]


def _text(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
