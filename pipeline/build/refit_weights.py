"""The weights that a refit gives to an engine: what each is called, and in which type TensorRT takes it.

TensorRT knows a weight by the name that its ONNX parser found it under: that of an initializer, of the output of a
``Constant`` node, or of the output of a ``Transpose`` or ``Identity`` of one, which the parser works out itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.prepare.constants import hoist_constants
from pipeline.prepare.onnx_model import load_model
from pipeline.prepare.structure import stored_tensors, structure_digest, weight_digests

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from onnx import ModelProto

WEIGHTS_FILE = "weights.json"
_BATCH_NORM_INPUTS = slice(1, 5)
_INT32 = np.iinfo(np.int32)
_TAKEN_AS = {"float32": "float32", "float64": "float32", "float16": "float16", "int8": "int8", "int32": "int32",
             "int64": "int32", "bool": "bool", "uint8": "uint8"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RefitWeights:
    """``values`` is weight name -> array, also of weights that are worked out of a stored one.

    ``carriers`` is the name of a stored tensor -> the names under which it can reach an engine.
    ``folded`` are stored tensors that the parser combines into weights of its own (batch normalization).
    """

    values: Mapping[str, npt.NDArray[Any]]
    carriers: Mapping[str, frozenset[str]]
    folded: frozenset[str]


def weights_from_model(model: ModelProto) -> RefitWeights:
    """The weights of a loaded ``model``, which is spent: its constants become initializers."""
    from onnx import numpy_helper

    values = {name: numpy_helper.to_array(tensor) for name, tensor in stored_tensors(model)}
    carriers = {name: {name} for name in values}
    source = {name: name for name in values}
    folded: set[str] = set()
    for node in model.graph.node:
        if node.op_type in ("Identity", "Transpose") and node.input[0] in source:
            origin = source[node.input[0]]
            source[node.output[0]] = origin
            carriers[origin].add(node.output[0])
        elif node.op_type == "BatchNormalization":
            folded.update(name for name in node.input[_BATCH_NORM_INPUTS] if name in values)
    hoist_constants(model)
    hoisted = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return RefitWeights(
        values={**hoisted, **values},
        carriers={name: frozenset(names) for name, names in carriers.items()},
        folded=frozenset(folded),
    )


def weights_record(model: ModelProto) -> dict[str, Any]:
    """What a refit compares a loaded model with: ``structure``, and ``tensors``, name -> digest of its values."""
    # Everything is in memory, so nothing is read from the folder.
    folder = Path()
    return {"structure": str(structure_digest(model, folder)), "tensors": weight_digests(model, folder)}


def write_weights(model: Path, folder: Path) -> str:
    """Write the record of the ONNX file ``model`` into ``folder``, beside its engine; the file's name."""
    (folder / WEIGHTS_FILE).write_text(json.dumps(weights_record(load_model(model)), indent=1), encoding="utf-8")
    return WEIGHTS_FILE


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
    if given.dtype.kind == "f" and not np.isfinite(given).all() and np.isfinite(values).all():
        raise ValueError("it holds numbers beyond FP32")
    return given
