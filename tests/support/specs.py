"""Manifest values for tests, with everything filled in that the test at hand does not care about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.manifest.types import Budgets, BuildSettings, Location, Manifest, ModelSpec, Profile, ShapeRange
from pipeline.planning.plan import Job
from pipeline.precision import Precision
from pipeline.targets import Target

SM_89 = Target("sm_89", "tensorrt-rtx", (8, 9))
H200 = Target("h200", "tensorrt", (9, 0), "h200")


def model_spec(folder: Path = Path("/models"), **parts: Any) -> ModelSpec:
    """A model named ``digits`` with one dynamic input ``image``, one target and two precisions."""
    location = Location("m.yaml", 4, 5)
    shapes = ShapeRange((1, 1, 8, 8), (8, 1, 8, 8), (32, 1, 8, 8))
    defaults: dict[str, Any] = {
        "name": "digits",
        "onnx": folder / "model.onnx",
        "sha256": None,
        "profiles": (Profile((("image", shapes),), location),),
        "targets": (SM_89,),
        "precisions": (Precision.FP32, Precision.FP16),
        "calibration": None,
        "build": BuildSettings(),
        "accuracy": None,
        "budgets": Budgets(),
        "location": location,
    }
    return ModelSpec(**(defaults | parts))


def manifest_of(*models: ModelSpec) -> Manifest:
    """A manifest of these models."""
    return Manifest(Path("/models/m.yaml"), 1, models)


def job(precision: Precision = Precision.FP16, target: Target = SM_89, **parts: Any) -> Job:
    """A job of ``model_spec(**parts)``."""
    return Job(model_spec(**parts), target, precision)
