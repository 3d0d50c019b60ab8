"""What a checked ONNX model is, as far as planning needs to know. Loads no native package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

_T = TypeVar("_T")

Dimension = int | str | None
"""A fixed size, the name of a dynamic one, or ``None`` for a dynamic one without a name."""

UNKNOWN_RANK: tuple[Dimension, ...] = ("...",)
"""The shape of an output whose rank is not known before it runs."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """An input or output. ``dtype`` is numpy's name (``float32``), or ml_dtypes' (``bfloat16``), or ``string``."""

    name: str
    dtype: str
    shape: tuple[Dimension, ...]

    @property
    def dynamic(self) -> bool:
        """Whether any dimension is left open."""
        return any(not isinstance(size, int) for size in self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model that passed the checks.

    ``opset`` is that of the default domain, ``opsets`` those of all others. ``inputs`` leaves out initializers.
    ``node_names`` holds every node's name, subgraphs included. ``operators`` counts nodes by ``domain::type``, with
    ``ai.onnx`` for the default domain. ``external_files`` are POSIX paths relative to the model's folder.
    """

    opset: int
    opsets: tuple[tuple[str, int], ...]
    ir_version: int
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    node_names: tuple[str, ...]
    operators: tuple[tuple[str, int], ...]
    external_files: tuple[str, ...]
    weights_bytes: int
    structure: Digest
    """Of all that decides what a builder makes of the model but the values of its weights (``prepare.structure``)."""
    named_structure: Digest
    """The same with the names of nodes, for settings that choose nodes by their names."""
    weights: Digest


def facts_to_json(facts: ModelFacts) -> dict[str, Any]:
    """The JSON form; ``facts_from_json`` is its inverse."""
    return {
        "opset": facts.opset,
        "opsets": dict(facts.opsets),
        "ir_version": facts.ir_version,
        "inputs": [tensor_to_json(tensor) for tensor in facts.inputs],
        "outputs": [tensor_to_json(tensor) for tensor in facts.outputs],
        "node_names": list(facts.node_names),
        "operators": dict(facts.operators),
        "external_files": list(facts.external_files),
        "weights_bytes": facts.weights_bytes,
        "structure": str(facts.structure),
        "named_structure": str(facts.named_structure),
        "weights": str(facts.weights),
    }


def tensor_to_json(tensor: TensorFacts) -> dict[str, Any]:
    """The JSON form of one input or output."""
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


def facts_from_json(data: Mapping[str, Any]) -> ModelFacts:
    """Read what ``facts_to_json`` wrote. Raises ``ValueError`` for anything else."""
    return ModelFacts(
        opset=_count(data, "opset"),
        opsets=_counts(data, "opsets"),
        ir_version=_count(data, "ir_version"),
        inputs=tuple(tensor_from_json(item) for item in _typed(data, "inputs", list)),
        outputs=tuple(tensor_from_json(item) for item in _typed(data, "outputs", list)),
        node_names=_texts(data, "node_names"),
        operators=_counts(data, "operators"),
        external_files=_texts(data, "external_files"),
        weights_bytes=_count(data, "weights_bytes"),
        structure=_digest(data, "structure"),
        named_structure=_digest(data, "named_structure"),
        weights=_digest(data, "weights"),
    )


def tensor_from_json(data: object) -> TensorFacts:
    """Read what ``tensor_to_json`` wrote. Raises ``ValueError`` for anything else."""
    if not isinstance(data, dict):
        raise ValueError(f"model facts: a tensor is not an object: {data!r}")  # noqa: TRY004  one error for damage
    shape = _typed(data, "shape", list)
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, int | str | None) or (isinstance(size, int) and size < 0):
            raise ValueError(f"model facts: not a dimension: {size!r}")
    return TensorFacts(_typed(data, "name", str), _typed(data, "dtype", str), tuple(shape))


def _typed(data: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    value = data.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"model facts: {name!r} is missing or of the wrong type")
    return value


def _count(data: Mapping[str, Any], name: str) -> int:
    value = _typed(data, name, int)
    if value < 0:
        raise ValueError(f"model facts: {name!r} is negative")
    return value


def _digest(data: Mapping[str, Any], name: str) -> Digest:
    try:
        return Digest.parse(_typed(data, name, str))
    except ValueError as error:
        raise ValueError(f"model facts: {name!r} is no digest") from error


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    items = _typed(data, name, list)
    if not all(isinstance(item, str) for item in items):
        raise ValueError(f"model facts: {name!r} holds something that is not text")
    return tuple(items)


def _counts(data: Mapping[str, Any], name: str) -> tuple[tuple[str, int], ...]:
    items = _typed(data, name, dict)
    return tuple(sorted((str(key), _count(items, key)) for key in items))
