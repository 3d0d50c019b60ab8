"""What a builder is asked and what it answers, each with one JSON form. Loads no native package."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  record_from_json reads the annotations
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.build.plan_header import PlanHeader  # noqa: TC001  record_from_json reads the annotations
from pipeline.build.refit_outcome import Refit, refit_from_json, refit_to_json
from pipeline.manifest.types import ShapeRange  # noqa: TC001  record_from_json reads the annotations
from pipeline.precision import Precision  # noqa: TC001  record_from_json reads the annotations
from pipeline.record import json_from_record, record_from_json

PROFILING_VERBOSITIES = ("none", "layer-names", "detailed")
_ONLY_AFTER_REFIT = frozenset({"refit", "not_refittable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One engine to build. ``model`` is the prepared ONNX file; ``None`` leaves the builder's default.

    ``profiles`` are optimization profiles, input name -> shapes; none are needed where every input is static.
    ``typing`` says whether the model carries the precision (``strong``) or the builder is asked for it (``weak``), and
    only there ``layer_precisions`` and ``calibration_table`` count. ``timing_cache``, a file or a folder of files, is
    loaded where it exists; with ``keep_tactics`` what it has become is kept with the engine.
    """

    runtime: str
    model: Path
    compute_capability: tuple[int, int]
    precision: Precision
    profiles: tuple[Mapping[str, ShapeRange], ...] = ()
    optimization_level: int | None = None
    workspace_mib: int | None = None
    sparsity: bool = False
    profiling_verbosity: str = "layer-names"
    typing: str = "strong"
    tactic_sources: tuple[str, ...] | None = None
    version_compatible: bool = False
    hardware_compatibility: str = "none"
    refit: bool = False
    strip_weights: bool = False
    plugins: tuple[Path, ...] = ()
    layer_precisions: tuple[tuple[str, Precision], ...] = ()
    calibration_table: Path | None = None
    timing_cache: Path | None = None
    keep_tactics: bool = False
    dla_core: int | None = None
    gpu_fallback: bool = False


@dataclass(frozen=True, slots=True)
class EngineTensor:
    """An input or output of an engine. ``dtype`` is numpy's name; a dynamic size is its name, else ``None``."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOutcome:
    """A built engine. ``engine`` is its file's name in the task's folder; ``build_s`` covers parsing and building."""

    engine: str
    size_bytes: int
    runtime_version: str
    build_s: float
    inputs: tuple[EngineTensor, ...]
    outputs: tuple[EngineTensor, ...]
    header: PlanHeader
    warnings: tuple[str, ...]
    tactics: str | None = None
    """The file with the timing cache that the engine was built from, where it was to be kept."""
    weights_record: str | None = None
    """The file with the digests of the weights of a refittable engine (``pipeline.build.refit_weights``)."""
    refit: Refit | None = None
    """How it was made of another engine, where it was not built."""
    not_refittable: str | None = None
    """Why it was built without REFIT, although the request came to ask for that at first."""


def request_to_json(request: BuildRequest) -> dict[str, Any]:
    """The JSON form; ``request_from_json`` is its inverse."""
    told: dict[str, Any] = json_from_record(request)
    return told


def request_from_json(data: Mapping[str, Any]) -> BuildRequest:
    """Read what ``request_to_json`` wrote, every field of it. Raises ``ValueError`` for anything else."""
    missing = {each.name for each in fields(BuildRequest)} - data.keys()
    if missing:
        raise ValueError(f"{min(missing)}: is missing")
    request = record_from_json(BuildRequest, data)
    if request.profiling_verbosity not in PROFILING_VERBOSITIES:
        raise ValueError(f"profiling_verbosity: {request.profiling_verbosity!r} is not a verbosity")
    return request


def outcome_to_json(outcome: BuildOutcome) -> dict[str, Any]:
    """The JSON form; ``outcome_from_json`` is its inverse. What is told of a refit is there only after one."""
    told: dict[str, Any] = json_from_record(replace(outcome, refit=None))
    refit = {} if outcome.refit is None else {"refit": refit_to_json(outcome.refit)}
    return {name: value for name, value in told.items() if value is not None or name not in _ONLY_AFTER_REFIT} | refit


def outcome_from_json(data: Mapping[str, Any]) -> BuildOutcome:
    """Read what ``outcome_to_json`` wrote. Raises ``ValueError`` for anything else."""
    outcome = record_from_json(BuildOutcome, {**data, "refit": None})
    if Path(outcome.engine).name != outcome.engine:
        raise ValueError(f"engine: {outcome.engine!r} is not the name of a file")
    return outcome if data.get("refit") is None else replace(outcome, refit=refit_from_json(data["refit"]))
