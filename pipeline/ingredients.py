"""What each artefact is made from: the ingredients of every cache key (pure).

Each kind of artefact has a recipe number, raised whenever our own code would make other bytes from the same
inputs; the release number is not an ingredient, so that a release which only changes the report rebuilds nothing.

Digests are over content, so a renamed or moved file keeps its keys. ``tools`` is always package name -> installed
version, of the packages whose version can change an artefact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_json
from pipeline.keys import Ingredient, Key, key_from_ingredients
from pipeline.precision import Precision
from pipeline.runtimes import effective_refit, effective_verbosity
from pipeline.targets import TENSORRT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.digest import Digest
    from pipeline.manifest.types import BuildSettings, Calibration, ShapeRange
    from pipeline.targets import Target

_RECIPES = {"model": 2, "operators": 1, "calibration": 1, "calibration-native": 1, "prepared": 1, "engine": 1,
            "check": 1, "benchmark": 1, "original": 1, "layers": 1, "rebuild": 1, "comparison": 1,
            "refit": 1}  # fmt: skip


def model_digest(onnx: Digest, external: Mapping[str, Digest]) -> Digest:
    """One digest for a model: its ONNX file and each external data file by location."""
    return digest_from_json({"onnx": str(onnx), "external": {name: str(digest) for name, digest in external.items()}})


def model_key(onnx: Digest, external: Mapping[str, Digest], tools: Mapping[str, str]) -> Key:
    """A model's facts, and that it passed the checks."""
    files = {f"model.external.{name}": str(digest) for name, digest in external.items()}
    return _key("model", {"model.onnx": str(onnx), **files, "tool.onnx": tools["onnx"]})


def operators_key(structure: Digest, runtime: str, version: str) -> Key:
    """Which operators of a model a runtime's parser refuses: a matter of its structure, node names included."""
    return _key("operators", {"model.structure": str(structure), "runtime": runtime, "runtime.version": version})


def calibration_ingredients(calibration: Calibration, data: Digest, tools: Mapping[str, str]) -> dict[str, Ingredient]:
    """What, beside the model, decides a calibration table."""
    named: dict[str, Ingredient] = {
        "calibration.recipe": _RECIPES["calibration"],
        "calibration.data": str(data),
        "calibration.samples": calibration.samples,
        "calibration.batch-size": calibration.batch_size,
        "calibration.method": str(calibration.method),
        "tool.onnxruntime": tools["onnxruntime"],
        "tool.numpy": tools["numpy"],
    }
    if calibration.method.value == "percentile":
        named["calibration.percentile"] = calibration.percentile
    if calibration.reuse_within is not None:
        named["calibration.reuse-within"] = calibration.reuse_within
    return named


def native_calibration_ingredients(
    calibration: Calibration, data: Digest, version: str, plugins: tuple[Digest, ...] = ()
) -> dict[str, Ingredient]:
    """What, beside the model, decides a table of TensorRT's own calibrators. The GPU is no part of it.

    TensorRT documents tables as portable between GPUs where calibration comes before layer fusion, as it does here.
    """
    named: dict[str, Ingredient] = {
        "calibration.recipe": _RECIPES["calibration-native"],
        "calibration.data": str(data),
        "calibration.samples": calibration.samples,
        "calibration.batch-size": calibration.batch_size,
        "calibration.method": str(calibration.method),
        "calibration.tensorrt": version,
        **{f"calibration.plugin.{number}": str(digest) for number, digest in enumerate(plugins)},
    }
    if calibration.method.value == "legacy":
        named["calibration.percentile"] = calibration.percentile
    return named


def given_table_ingredients(table: Digest) -> dict[str, Ingredient]:
    """What, beside the model, decides the ranges where the team gives the table: its bytes alone."""
    return {"calibration.table": str(table)}


def calibration_key(model: Digest, calibration: Mapping[str, Ingredient]) -> Key:
    """A calibration table. ``calibration`` is what ``calibration_ingredients`` gave."""
    return _key("calibration", {"model": str(model), **calibration})


def prepared_ingredients(
    model: Digest,
    precision: Precision,
    build: BuildSettings,
    calibration: Mapping[str, Ingredient],
    tools: Mapping[str, str],
) -> dict[str, Ingredient]:
    """What decides a typed model. FP32 and TF32 share one: they differ in the builder alone."""
    typed = Precision.FP32 if precision is Precision.TF32 else precision
    named: dict[str, Ingredient] = {
        "model": str(model),
        "prepared.recipe": _RECIPES["prepared"],
        "prepared.precision": str(typed),
        "tool.onnx": tools["onnx"],
    }
    if typed is not Precision.FP32:
        # Numbered, because the last glob that matches a node wins.
        globs = enumerate(build.layer_precisions)
        named |= {f"layer-precision.{number}": f"{glob} {lowest}" for number, (glob, lowest) in globs}
        named["tool.onnxruntime"] = tools["onnxruntime"]
    return named | dict(calibration) if precision.quantized else named


def prepared_key(prepared: Mapping[str, Ingredient]) -> Key:
    """A typed model. ``prepared`` is what ``prepared_ingredients`` gave."""
    return _key("prepared", dict(prepared))


def engine_key(
    prepared: Mapping[str, Ingredient],
    target: Target,
    precision: Precision,
    build: BuildSettings,
    profiles: tuple[Mapping[str, ShapeRange], ...],
    *,
    platform: str,
    runtime_version: str,
    typing: str,
    gpu: str | None = None,
    plugins: tuple[Digest, ...] = (),
) -> Key:
    """An engine. ``typing`` is ``strong`` or ``weak``, ``gpu`` the product of the GPU that it is built on.

    The GPU's product is part of it for full TensorRT, whose plans are tuned on that product; a TensorRT-RTX plan
    is bound to the compute capability alone (TensorRT-RTX documentation, "Engine compatibility").
    """
    named: dict[str, Ingredient] = {
        **prepared,
        "precision": str(precision),
        "platform": platform,
        "runtime": target.runtime,
        "runtime.version": runtime_version,
        "target.compute-capability": "{}.{}".format(*target.compute_capability),
        "build.optimization-level": build.optimization_level,
        "build.workspace-mib": build.workspace_mib,
        "build.sparsity": build.sparsity,
        "build.profiling-verbosity": effective_verbosity(target, build),
        "build.version-compatible": build.version_compatible,
        "build.hardware-compatibility": build.hardware_compatibility,
        "build.typing": typing,
        "build.refit": effective_refit(target, build, precision, runtime_version),
        "build.strip-weights": build.strip_weights,
    }
    if target.runtime == TENSORRT:
        named |= {
            "target.gpu": None if build.hardware_compatibility == "same-compute-capability" else gpu,
            "build.tactic-sources": None if build.tactic_sources is None else ",".join(sorted(build.tactic_sources)),
            "build.int8": build.int8 if precision.quantized else None,
            # Absent where they ask for nothing, so that older keys hold.
            **({"build.tactics": "kept"} if build.deterministic else {}),
            **(
                {}
                if build.dla_core is None
                else {"build.dla-core": build.dla_core, "build.gpu-fallback": build.gpu_fallback}
            ),
            **{f"build.plugin.{number}": str(digest) for number, digest in enumerate(plugins)},
        }
    if typing == "weak":
        globs = enumerate(build.layer_precisions)
        named |= {f"layer-precision.{number}": f"{glob} {lowest}" for number, (glob, lowest) in globs}
    for number, profile in enumerate(profiles):
        for name, shapes in profile.items():
            for bound in ("min", "opt", "max"):
                named[f"profile.{number}.{name}.{bound}"] = "x".join(map(str, getattr(shapes, bound)))
    return _key("engine", named)


def refit_key(engine: Key, structure: Digest) -> Key:
    """A refittable engine by the structure of its model, so that a retrained one finds it. ``engine`` is its key."""
    named = {name: value for name, value in engine.ingredients if name not in ("model", "recipe")}
    return _key(
        "refit", {**named, "engine.recipe": dict(engine.ingredients)["recipe"], "model.structure": str(structure)}
    )


def check_key(
    prepared: Mapping[str, Ingredient],
    data: Digest,
    labels: Digest | None,
    samples: int | None,
    tools: Mapping[str, str],
) -> Key:
    """A comparison of a typed model with its original. Tolerances judge the figures later and are no part of it."""
    return _key(
        "check",
        {
            **prepared,
            "accuracy.data": str(data),
            "accuracy.labels": str(labels) if labels else None,
            "accuracy.samples": samples,
            "tool.onnxruntime": tools["onnxruntime"],
            "tool.numpy": tools["numpy"],
        },
    )


def engine_check_key(
    engine: Digest,
    model: Digest,
    data: Digest,
    labels: Digest | None,
    *,
    samples: int | None,
    tools: Mapping[str, str],
) -> Key:
    """A comparison of an engine itself with the original model: by the engine's bytes, since tactics differ."""
    return _key(
        "check",
        {
            "engine": str(engine),
            "model": str(model),
            "accuracy.data": str(data),
            "accuracy.labels": str(labels) if labels else None,
            "accuracy.samples": samples,
            "tool.onnxruntime": tools["onnxruntime"],
            "tool.numpy": tools["numpy"],
        },
    )


def layers_key(engine: Digest, *, gpu: str, driver: str) -> Key:
    """The layers of an engine with their times."""
    return _key("layers", {"engine": str(engine), "layers.gpu": gpu, "layers.driver": driver})


def rebuild_key(engine: Digest, tactics: Digest) -> Key:
    """The comparison of an engine with a second build from its own tactics."""
    return _key("rebuild", {"engine": str(engine), "tactics": str(tactics)})


def benchmark_key(engine: Digest, settings: Mapping[str, Any], *, data: Digest | None, gpu: str, driver: str) -> Key:
    """The timing of an engine on one kind of GPU under one driver. ``settings`` is JSON."""
    return _key("benchmark", {"engine": str(engine), **_timed(settings, data, gpu, driver)})


def comparison_key(
    base: Digest,
    head: Digest,
    settings: Mapping[str, Any],
    *,
    budget_percent: float | None,
    data: Digest | None,
    gpu: str,
    driver: str,
) -> Key:
    """Two engines timed in turn on one GPU. The budget is part of it: it decides how long they are timed."""
    named = {"engine.base": str(base), "engine": str(head), "comparison.budget-percent": budget_percent}
    return _key("comparison", {**named, **_timed(settings, data, gpu, driver)})


def original_key(model: Digest, settings: Mapping[str, Any], *, data: Digest | None, gpu: str, driver: str) -> Key:
    """The timing of an original model in a framework. A PyTorch model is known by the ONNX model made of it."""
    return _key("original", {"model": str(model), **_timed(settings, data, gpu, driver)})


def _timed(settings: Mapping[str, Any], data: Digest | None, gpu: str, driver: str) -> dict[str, Ingredient]:
    return {
        "benchmark.settings": str(digest_from_json(settings)),
        "benchmark.data": str(data) if data else None,
        "benchmark.gpu": gpu,
        "benchmark.driver": driver,
    }


def _key(kind: str, named: Mapping[str, Ingredient]) -> Key:
    return key_from_ingredients(kind, {"recipe": _RECIPES[kind], **named})
