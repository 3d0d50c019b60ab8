"""The weights that a refit gives to an engine: what each is called, and in which type TensorRT takes it.

TensorRT knows a weight by the name that its ONNX parser found it under: that of an initializer, of the output of a
``Constant`` node, or of the output of a ``Transpose`` or ``Identity`` of one, which the parser works out itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.digest import digest_from_json
from pipeline.prepare.graph import subgraphs
from pipeline.prepare.onnx_graph import nodes_of
from pipeline.prepare.onnx_model import load_model
from pipeline.prepare.structure import stored_tensors, structure_digest, weight_digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy.typing as npt
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

WEIGHTS_FILE = "weights.json"
_BATCH_NORM_INPUTS = slice(1, 5)
_WORKED_IN = {"BatchNormalization": (1, 2, 3, 4), "InstanceNormalization": (1, 2), "LSTM": (1, 2, 3, 7),
              "GRU": (1, 2, 3), "RNN": (1, 2, 3), "Clip": (1, 2), "Pad": (2,), "OneHot": (2,), "Dropout": (1,),
              "NonMaxSuppression": (2, 3, 4), "Pow": (1,), "PRelu": (1,)}  # fmt: skip
"""Operator -> inputs whose values may become part of a layer, and then have no name in the engine."""
_INT32 = np.iinfo(np.int32)
_TAKEN_AS = {"float32": "float32", "float64": "float32", "float16": "float16", "int8": "int8", "int32": "int32",
             "int64": "int32", "bool": "bool", "uint8": "uint8"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RefitWeights:
    """``values`` is weight name -> what makes its array, also of weights that are worked out of a stored one.

    Nothing is copied before it is asked for. ``carriers`` is the name of a stored tensor -> the names under which it
    can reach an engine. ``folded`` are stored tensors that the parser combines into weights of its own (batch
    normalization). ``shared`` is the name of a stored tensor that other nodes read too -> the operators that may work
    its values into a layer. ``ambiguous`` are names that several stored tensors have, of other values.
    """

    values: Mapping[str, Callable[[], npt.NDArray[Any]]]
    carriers: Mapping[str, frozenset[str]]
    folded: frozenset[str]
    shared: Mapping[str, frozenset[str]]
    ambiguous: frozenset[str]

    def in_memory(self) -> RefitWeights:
        """The same, with every array made."""
        made = {name: make() for name, make in self.values.items()}
        return replace(self, values={name: partial(made.__getitem__, name) for name in made})


def weights_from_model(model: ModelProto) -> RefitWeights:
    """The weights of a loaded ``model``."""
    from onnx import TensorProto, numpy_helper

    every = list(stored_tensors(model))
    stored = dict(every)
    values: dict[str, Callable[[], npt.NDArray[Any]]] = {
        name: partial(numpy_helper.to_array, tensor) for name, tensor in stored.items()
    }
    carriers = {name: {name} for name in stored}
    source = {name: name for name in stored}
    folded: set[str] = set()
    for node in model.graph.node:
        if node.op_type in ("Identity", "Transpose") and node.input[0] in source:
            origin = source[node.input[0]]
            source[node.output[0]] = origin
            carriers[origin].add(node.output[0])
            # The parser works out those of floats alone.
            if stored[origin].data_type == TensorProto.FLOAT and node.domain in ("", "ai.onnx"):
                values.setdefault(node.output[0], partial(_permuted, values[node.input[0]], _order(node)))
        elif node.op_type == "BatchNormalization":
            folded.update(name for name in node.input[_BATCH_NORM_INPUTS] if name in stored)
    return RefitWeights(
        values=values,
        carriers={name: frozenset(names) for name, names in carriers.items()},
        folded=frozenset(folded),
        shared=_shared(model, source),
        ambiguous=frozenset(_ambiguous(every)),
    )


def _shared(model: ModelProto, source: Mapping[str, str]) -> dict[str, frozenset[str]]:
    by_name: set[str] = set()
    worked_in: dict[str, set[str]] = {}
    for node in nodes_of(model):
        for place, name in enumerate(node.input):
            if place in _WORKED_IN.get(node.op_type, ()):
                worked_in.setdefault(source.get(name, ""), set()).add(node.op_type)
            elif not (node.output and node.output[0] in source):
                by_name.add(source.get(name, ""))
    return {name: frozenset(operators) for name, operators in worked_in.items() if name in by_name - {""}}


def _ambiguous(stored: Iterable[tuple[str, TensorProto]]) -> Iterator[str]:
    from onnx import numpy_helper

    first: dict[str, TensorProto] = {}
    for name, tensor in stored:
        other = first.setdefault(name, tensor)
        if other is not tensor:
            one, two = numpy_helper.to_array(other), numpy_helper.to_array(tensor)
            if (one.dtype, one.shape, one.tobytes()) != (two.dtype, two.shape, two.tobytes()):
                yield name


def weights_record(model: ModelProto) -> dict[str, Any]:
    """What a refit compares a loaded model with.

    ``structure``; ``tensors``, name -> digest of its values; ``numbered``, a digest of what TensorRT's parser numbers.
    """
    # Everything is in memory, so nothing is read from the folder.
    folder = Path()
    return {
        "structure": str(structure_digest(model, folder)),
        "tensors": weight_digests(model, folder),
        "numbered": str(digest_from_json(list(_numbered(model.graph, {name for name, _ in stored_tensors(model)})))),
    }


def _numbered(graph: GraphProto, stored: set[str]) -> Iterator[list[str]]:
    """The nodes of which the parser makes weights of its own that it names by counting, in its order.

    Its refitter counts again, so with these nodes in another order each would get the weights of another one, although
    the structure is the same (``createNamedTempWeights`` in onnx-tensorrt, from TensorRT 10.0 on).
    """
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            yield [node.op_type, *(name if name in stored else "" for name in node.input[_BATCH_NORM_INPUTS])]
        elif node.op_type == "ConstantOfShape":
            yield [node.op_type, *(each.SerializeToString(deterministic=True).hex() for each in node.attribute)]
        for inner in subgraphs(node):
            yield from _numbered(inner, stored)


def write_weights(model: Path, folder: Path) -> str:
    """Write the record of the ONNX file ``model`` into ``folder``, beside its engine; the file's name."""
    (folder / WEIGHTS_FILE).write_text(json.dumps(weights_record(load_model(model)), indent=1), encoding="utf-8")
    return WEIGHTS_FILE


def _order(node: NodeProto) -> tuple[int, ...] | None:
    """The axes of a ``Transpose`` in their new order, ``None`` for the reverse; no axes for an ``Identity``."""
    if node.op_type == "Identity":
        return ()
    return next((tuple(each.ints) for each in node.attribute if each.name == "perm"), None)


def _permuted(values: Callable[[], npt.NDArray[Any]], order: tuple[int, ...] | None) -> npt.NDArray[Any]:
    """The array of ``values`` with its axes in ``order`` (see ``_order``), as a view."""
    return values() if order == () else np.transpose(values(), order)


def weight_in_type(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``values`` in C order, in the type that TensorRT before 10 knows them by.

    Those versions have neither doubles nor 64-bit integers: their parser makes FP32 and 32-bit integers of them.
    Raises ``ValueError`` for numbers that the type does not hold, and for types that a weight cannot have.
    """
    kind = _TAKEN_AS.get(values.dtype.name)
    if kind is None:
        raise ValueError(f"{values.dtype.name} is no type of a weight")
    if kind == "int32" and values.size and (values.min() < _INT32.min or values.max() > _INT32.max):
        raise ValueError("it holds numbers beyond 32 bits")
    with np.errstate(over="ignore"):
        given = np.ascontiguousarray(values, dtype=kind)
    # Only what had a wider type can have become infinite, and looking at every number takes time.
    narrowed = given.dtype.kind == "f" and given.dtype != values.dtype
    if narrowed and not np.isfinite(given).all() and np.isfinite(values).all():
        raise ValueError("it holds numbers beyond FP32")
    return given
