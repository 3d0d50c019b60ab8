"""The small JSON beside each engine: what it is, what it was made from, and how to feed it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  the annotations are read to make JSON
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.digest import Digest  # noqa: TC001
from pipeline.manifest.types import ShapeRange  # noqa: TC001
from pipeline.precision import Precision  # noqa: TC001
from pipeline.publish.job_report import TensorReport  # noqa: TC001
from pipeline.record import json_from_record

if TYPE_CHECKING:
    from pipeline.manifest.types import BuildSettings

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """What the engine runs on. ``gpu`` is the catalogue's name, ``None`` for a free target."""

    id: str
    runtime: str
    compute_capability: str
    gpu: str | None


@dataclass(frozen=True, slots=True)
class LayerPrecision:
    """``nodes`` is a glob over ONNX node names, which run in ``precision`` or a higher one."""

    nodes: str
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderSettings:
    """What was asked of the builder; ``None`` is its own default. ``plugins`` are file names."""

    typing: str
    optimization_level: int | None
    workspace_mib: int | None
    sparsity: bool
    version_compatible: bool
    hardware_compatibility: str
    refit: bool
    strip_weights: bool
    plugins: tuple[str, ...]
    profiling_verbosity: str
    layer_precisions: tuple[LayerPrecision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """One engine. ``model_digest`` is the original model's, external data included.

    ``tools`` is name -> version of every tool that had a hand in it; ``profiles`` has one mapping of input name ->
    shapes per optimization profile, in order.
    """

    job: str
    key: Digest
    engine_digest: Digest
    engine_size_bytes: int
    model_digest: Digest
    calibration_table_digest: Digest | None
    precision: Precision
    target: TargetReport
    tool_version: str
    runtime_version: str
    refitted_from: Digest | None
    """The key of the engine whose weights were replaced; ``None`` where this one was built."""
    tools: Mapping[str, str]
    inputs: tuple[TensorReport, ...]
    outputs: tuple[TensorReport, ...]
    profiles: tuple[Mapping[str, ShapeRange], ...]
    builder_settings: BuilderSettings


def sidecar_to_json(sidecar: Sidecar) -> dict[str, Any]:
    """The JSON form that ``schemas/engine.schema.json`` describes."""
    return {"schema_version": SCHEMA_VERSION, **json_from_record(sidecar)}


def builder_settings_from_build(build: BuildSettings, verbosity: str, *, refit: bool) -> BuilderSettings:
    """What reached the builder: the manifest's settings with plugin paths cut to file names, and what followed."""
    return BuilderSettings(
        typing=build.typing,
        optimization_level=build.optimization_level,
        workspace_mib=build.workspace_mib,
        sparsity=build.sparsity,
        version_compatible=build.version_compatible,
        hardware_compatibility=build.hardware_compatibility,
        refit=refit,
        strip_weights=build.strip_weights,
        plugins=tuple(path.name for path in build.plugins),
        profiling_verbosity=verbosity,
        layer_precisions=tuple(LayerPrecision(nodes, precision) for nodes, precision in build.layer_precisions),
    )
