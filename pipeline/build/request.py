"""What a builder is asked and what it answers, each with one JSON form. Loads no native package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pipeline.build.plan_header import PlanHeader
from pipeline.build.refit_outcome import Refit, refit_from_json, refit_to_json
from pipeline.manifest.types import ShapeRange
from pipeline.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping

_T = TypeVar("_T")

PROFILING_VERBOSITIES = ("none", "layer-names", "detailed")


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
    return {
        "runtime": request.runtime,
        "model": str(request.model),
        "compute_capability": list(request.compute_capability),
        "precision": str(request.precision),
        "profiles": [
            {
                name: {"min": list(shapes.min), "opt": list(shapes.opt), "max": list(shapes.max)}
                for name, shapes in profile.items()
            }
            for profile in request.profiles
        ],
        "optimization_level": request.optimization_level,
        "workspace_mib": request.workspace_mib,
        "sparsity": request.sparsity,
        "profiling_verbosity": request.profiling_verbosity,
        "typing": request.typing,
        "tactic_sources": None if request.tactic_sources is None else list(request.tactic_sources),
        "version_compatible": request.version_compatible,
        "hardware_compatibility": request.hardware_compatibility,
        "refit": request.refit,
        "strip_weights": request.strip_weights,
        "plugins": [str(path) for path in request.plugins],
        "layer_precisions": [[glob, str(lowest)] for glob, lowest in request.layer_precisions],
        "calibration_table": None if request.calibration_table is None else str(request.calibration_table),
        "timing_cache": None if request.timing_cache is None else str(request.timing_cache),
        "keep_tactics": request.keep_tactics,
        "dla_core": request.dla_core,
        "gpu_fallback": request.gpu_fallback,
    }


def request_from_json(data: Mapping[str, Any]) -> BuildRequest:
    """Read what ``request_to_json`` wrote. Raises ``ValueError`` for anything else."""
    _only(data, BuildRequest)
    capability = _integers(data, "compute_capability")
    if len(capability) != 2:
        _refuse("compute_capability")
    verbosity = _typed(data, "profiling_verbosity", str)
    if verbosity not in PROFILING_VERBOSITIES:
        _refuse("profiling_verbosity")
    return BuildRequest(
        runtime=_typed(data, "runtime", str),
        model=Path(_typed(data, "model", str)),
        compute_capability=(capability[0], capability[1]),
        precision=Precision(_typed(data, "precision", str)),
        profiles=tuple(_profile(item) for item in _typed(data, "profiles", list)),
        optimization_level=_optional_integer(data, "optimization_level"),
        workspace_mib=_optional_integer(data, "workspace_mib"),
        sparsity=_typed(data, "sparsity", bool),
        profiling_verbosity=verbosity,
        typing=_typed(data, "typing", str),
        tactic_sources=None if data.get("tactic_sources") is None else _texts(data, "tactic_sources"),
        version_compatible=_typed(data, "version_compatible", bool),
        hardware_compatibility=_typed(data, "hardware_compatibility", str),
        refit=_typed(data, "refit", bool),
        strip_weights=_typed(data, "strip_weights", bool),
        plugins=tuple(map(Path, _texts(data, "plugins"))),
        layer_precisions=tuple((str(glob), Precision(word)) for glob, word in _typed(data, "layer_precisions", list)),
        calibration_table=_optional_path(data, "calibration_table"),
        timing_cache=_optional_path(data, "timing_cache"),
        keep_tactics=_typed(data, "keep_tactics", bool),
        dla_core=_optional_integer(data, "dla_core"),
        gpu_fallback=_typed(data, "gpu_fallback", bool),
    )


def outcome_to_json(outcome: BuildOutcome) -> dict[str, Any]:
    """The JSON form; ``outcome_from_json`` is its inverse."""
    refit = {} if outcome.refit is None else {"refit": refit_to_json(outcome.refit)}
    plain = {} if outcome.not_refittable is None else {"not_refittable": outcome.not_refittable}
    return (
        refit
        | plain
        | {
            "engine": outcome.engine,
            "size_bytes": outcome.size_bytes,
            "runtime_version": outcome.runtime_version,
            "build_s": outcome.build_s,
            "inputs": [_tensor_to_json(tensor) for tensor in outcome.inputs],
            "outputs": [_tensor_to_json(tensor) for tensor in outcome.outputs],
            "header": outcome.header.to_json(),
            "warnings": list(outcome.warnings),
            "tactics": outcome.tactics,
            "weights_record": outcome.weights_record,
        }
    )


def outcome_from_json(data: Mapping[str, Any]) -> BuildOutcome:
    """Read what ``outcome_to_json`` wrote. Raises ``ValueError`` for anything else."""
    _only({"weights_record": None, "refit": None, "not_refittable": None, **data}, BuildOutcome)
    engine = _typed(data, "engine", str)
    if Path(engine).name != engine:
        _refuse("engine")
    return BuildOutcome(
        engine=engine,
        size_bytes=_typed(data, "size_bytes", int),
        runtime_version=_typed(data, "runtime_version", str),
        build_s=float(_typed(data, "build_s", (int, float))),
        inputs=tuple(_tensor_from_json(item) for item in _typed(data, "inputs", list)),
        outputs=tuple(_tensor_from_json(item) for item in _typed(data, "outputs", list)),
        header=PlanHeader.from_json(_typed(data, "header", dict)),
        warnings=_texts(data, "warnings"),
        tactics=None if data.get("tactics") is None else _typed(data, "tactics", str),
        weights_record=None if data.get("weights_record") is None else _typed(data, "weights_record", str),
        refit=None if data.get("refit") is None else refit_from_json(data["refit"]),
        not_refittable=None if data.get("not_refittable") is None else _typed(data, "not_refittable", str),
    )


def _profile(data: object) -> dict[str, ShapeRange]:
    if not isinstance(data, dict):
        _refuse("profiles")
    return {
        str(name): ShapeRange(_integers(shapes, "min"), _integers(shapes, "opt"), _integers(shapes, "max"))
        for name, shapes in data.items()
    }


def _tensor_to_json(tensor: EngineTensor) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


def _tensor_from_json(data: object) -> EngineTensor:
    shape = _typed(data, "shape", list)
    if any(isinstance(size, bool) or not isinstance(size, int | str | None) for size in shape):
        _refuse("shape")
    return EngineTensor(_typed(data, "name", str), _typed(data, "dtype", str), tuple(shape))


def _typed(data: object, name: str, kind: type[_T] | tuple[type[_T], ...]) -> _T:
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        _refuse(name)
    return value


def _optional_integer(data: Mapping[str, Any], name: str) -> int | None:
    return None if data.get(name) is None else _typed(data, name, int)


def _optional_path(data: Mapping[str, Any], name: str) -> Path | None:
    return None if data.get(name) is None else Path(_typed(data, name, str))


def _integers(data: object, name: str) -> tuple[int, ...]:
    items = _typed(data, name, list)
    if any(isinstance(item, bool) or not isinstance(item, int) for item in items):
        _refuse(name)
    return tuple(items)


def _texts(data: object, name: str) -> tuple[str, ...]:
    items = _typed(data, name, list)
    if not all(isinstance(item, str) for item in items):
        _refuse(name)
    return tuple(items)


def _only(data: Mapping[str, Any], kind: type[BuildRequest | BuildOutcome]) -> None:
    fields = set(kind.__dataclass_fields__)
    if data.keys() != fields:
        raise ValueError(f"{kind.__name__}: not its fields: {sorted(data.keys() ^ fields)}")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name!r} is missing or of the wrong type")
