"""The layers of an engine in one form for all TensorRT versions, and that form as JSON. Loads no native package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping  # noqa: TC003  the annotations are read to make JSON
from dataclasses import dataclass
from math import fsum
from typing import Any

from pipeline.digest import Digest  # noqa: TC001
from pipeline.record import RecordError, json_from_record, record_from_json

SCHEMA_VERSION = 1
LAYERS_SUFFIX = ".layers.json"
"""Of the file beside an engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTensor:
    """An input or output of a layer.

    ``dtype`` is a word such as ``fp16``; ``format`` is TensorRT's name of the layout without the type. Both are
    ``None`` where the inspector does not tell. ``dims`` are the sizes at the inspected shapes, -1 where unknown.
    """

    name: str
    dtype: str | None
    format: str | None
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer as it runs, after fusion.

    ``precision`` is what its products are computed from: ``fp32``, ``tf32``, ``fp16``, ``bf16``, ``fp8``, ``int8`` …,
    ``None`` where it cannot be told. ``onnx_nodes`` are the nodes of the model that it came from. ``time_ms`` is the
    median of a profiled run, ``None`` without one.
    """

    name: str
    type: str | None
    precision: str | None
    tactic: str | None
    inputs: tuple[LayerTensor, ...]
    outputs: tuple[LayerTensor, ...]
    onnx_nodes: tuple[str, ...]
    time_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLayers:
    """All layers of one engine, in the order in which they run.

    ``detailed`` is false where the engine was built to tell names alone. ``shapes`` is input -> the shape at which it
    was inspected and timed; ``profiled_iterations`` is 0 where no layer was timed.
    """

    engine_digest: Digest
    runtime_version: str
    detailed: bool
    shapes: Mapping[str, tuple[int, ...]]
    profiled_iterations: int
    layers: tuple[Layer, ...]

    @property
    def time_ms(self) -> float | None:
        """The sum over the layers, ``None`` where they were not timed."""
        return fsum(layer.time_ms or 0.0 for layer in self.layers) if self.profiled_iterations else None


def time_ms_from_layers(layers: Iterable[Layer]) -> float | None:
    """The sum over those that were timed, ``None`` where none was."""
    times = [layer.time_ms for layer in layers if layer.time_ms is not None]
    # Rounded once, whatever the Python: `sum` is more exact from 3.12 on.
    return fsum(times) if times else None


def layers_to_json(engine: EngineLayers) -> dict[str, Any]:
    """The JSON form that ``schemas/layers.schema.json`` describes."""
    return {"schema_version": SCHEMA_VERSION, **json_from_record(engine)}


def layers_from_json(data: Any) -> EngineLayers:
    """The inverse of ``layers_to_json``. Raises ``ValueError`` for anything else."""
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise RecordError(f"schema_version: must be {SCHEMA_VERSION}")
    return record_from_json(EngineLayers, {name: value for name, value in data.items() if name != "schema_version"})
