"""What each artefact that is made is made from: the ingredients of its cache key (pure).

Digests are over content, so a renamed or moved file keeps its keys. ``tools`` is always package name -> installed
version, of the packages whose version can change an artefact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.digest import digest_from_json
from pipeline.precision import Precision
from pipeline.recipes.numbers import RECIPES, numbered_key
from pipeline.runtimes import effective_refit, effective_verbosity
from pipeline.targets import TENSORRT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.digest import Digest
    from pipeline.keys import Ingredient, Key
    from pipeline.manifest.types import BuildSettings, Calibration, ShapeRange
    from pipeline.targets import Target


def model_digest(onnx: Digest, external: Mapping[str, Digest]) -> Digest:
    """One digest for a model: its ONNX file and each external data file by location."""
    return digest_from_json({"onnx": str(onnx), "external": {name: str(digest) for name, digest in external.items()}})


def model_key(onnx: Digest, external: Mapping[str, Digest], tools: Mapping[str, str]) -> Key:
    """A model's facts, and that it passed the checks."""
    files = {f"model.external.{name}": str(digest) for name, digest in external.items()}
    return numbered_key("model", {"model.onnx": str(onnx), **files, "tool.onnx": tools["onnx"]})


def operators_key(structure: Digest, runtime: str, version: str) -> Key:
    """Which operators of a model a runtime's parser refuses: a matter of its structure, node names included."""
    return numbered_key(
        "operators", {"model.structure": str(structure), "runtime": runtime, "runtime.version": version}
    )


def calibration_ingredients(calibration: Calibration, data: Digest, tools: Mapping[str, str]) -> dict[str, Ingredient]:
    """What, beside the model, decides a calibration table."""
    named: dict[str, Ingredient] = {
        "calibration.recipe": RECIPES["calibration"],
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
        "calibration.recipe": RECIPES["calibration-native"],
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
    return numbered_key("calibration", {"model": str(model), **calibration})


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
        "prepared.recipe": RECIPES["prepared"],
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
    return numbered_key("prepared", dict(prepared))


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
            # What `auto` asks for may be built without it, which must never be taken for what `always` demands.
            **({"build.refit-required": True} if build.refit == "always" else {}),
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
    return numbered_key("engine", named)


def refit_key(engine: Key, structure: Digest) -> Key:
    """A refittable engine by the structure of its model, so that a retrained one finds it. ``engine`` is its key."""
    named = {name: value for name, value in engine.ingredients if name not in ("model", "recipe")}
    return numbered_key(
        "refit", {**named, "engine.recipe": dict(engine.ingredients)["recipe"], "model.structure": str(structure)}
    )
