"""How a model's artefacts are made from the ones before: refused operators, table, typed model, and its check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.artefacts import Recipe
from pipeline.ingredients import (
    calibration_key,
    check_key,
    operators_key,
    prepared_ingredients,
    prepared_key,
)
from pipeline.prepare.facts import facts_to_json
from pipeline.targets import TENSORRT
from pipeline.verify.comparison import comparison_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts import Artefact, Workshop
    from pipeline.devices import GpuDevice
    from pipeline.keys import Ingredient
    from pipeline.precision import Precision
    from pipeline.survey import SurveyedModel

_BASE_BYTES = 1 << 30
_BUILD_FACTOR = 4
"""A TensorRT-RTX build peaked at 3.3 times the weights (2.25 GiB model, 1.7.1)."""
CHECK_TIMEOUT_S = 3600.0
CHECK_BATCH_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipes:
    """Recipes of one run. ``tools`` and ``runtimes`` are package or runtime name -> installed version.

    ``gpus`` are those of this machine; ``timing_caches`` is the folder that TensorRT's timing caches are kept in.
    """

    workshop: Workshop
    tools: Mapping[str, str]
    runtimes: Mapping[str, str]
    gpus: tuple[GpuDevice, ...] = ()
    timing_caches: Path | None = None

    def operators(self, model: SurveyedModel, runtime: str) -> Recipe:
        """Which operators ``runtime``'s parser refuses."""
        return Recipe(
            key=operators_key(model.digest, runtime, self.runtimes[runtime]),
            subject=f"{model.spec.name}/{runtime}",
            task="check-operators",
            stage="checking operators of",
            request=lambda _: {"runtime": runtime, "model": str(model.spec.onnx)},
            gpus=self.gpus if runtime == TENSORRT else (),
            memory_bytes=memory_bytes(model),
        )

    def calibration(self, model: SurveyedModel) -> Recipe:
        """The calibration table of a model that has calibration data."""
        calibration = model.spec.calibration
        assert calibration is not None and calibration.data is not None  # noqa: S101, PT018  the manifest refuses INT8 without it
        return Recipe(
            key=calibration_key(model.digest, model.calibration),
            subject=model.spec.name,
            task="calibrate",
            stage="calibrating",
            request=lambda _: {
                "model": str(model.spec.onnx),
                "inputs": facts_to_json(model.facts)["inputs"],
                "data": str(calibration.data),
                "samples": calibration.samples,
                "batch_size": calibration.batch_size,
                "method": str(calibration.method),
                "percentile": calibration.percentile,
            },
            files=lambda outcome: (outcome["table"], outcome["json"]),
            unchanged=model.unchanged,
            timeout_s=model.spec.build.timeout_s,
            memory_bytes=memory_bytes(model),
        )

    def prepared_from(self, model: SurveyedModel, precision: Precision) -> Mapping[str, Ingredient]:
        """The key ingredients of a typed model."""
        return prepared_ingredients(model.digest, precision, model.spec.build, model.calibration, self.tools)

    def prepared(self, model: SurveyedModel, precision: Precision) -> Recipe:
        """A model with the precision written into its graph."""
        key = prepared_key(self.prepared_from(model, precision))

        def sources() -> tuple[Artefact, ...]:
            return (self.workshop.obtain(self.calibration(model)),) if precision.quantized else ()

        def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
            return {
                "model": str(model.spec.onnx),
                "precision": str(dict(key.ingredients)["prepared.precision"]),
                "table": str(table_of(sources[0])) if sources else None,
                "layer_precisions": [[glob, str(lowest)] for glob, lowest in model.spec.build.layer_precisions],
            }

        return Recipe(
            key=key,
            subject=f"{model.spec.name}/{dict(key.ingredients)['prepared.precision']}",
            task="prepare",
            stage="preparing",
            request=request,
            sources=sources,
            files=lambda outcome: tuple(outcome["files"]),
            unchanged=model.unchanged,
            timeout_s=model.spec.build.timeout_s,
            memory_bytes=memory_bytes(model),
        )

    def check(self, model: SurveyedModel, precision: Precision) -> Recipe | None:
        """The comparison of a typed model with its original; ``None`` for a model without evaluation data."""
        accuracy = model.spec.accuracy
        if accuracy is None or model.evaluation is None:
            return None
        data, labels = model.evaluation

        def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
            return {
                "reference": str(model.spec.onnx),
                "candidate": str(model_file(sources[0])),
                "precision": str(precision),
                "data": str(accuracy.data),
                "labels": str(accuracy.labels) if accuracy.labels else None,
                "samples": accuracy.samples,
                "batch_size": CHECK_BATCH_SIZE,
            }

        key = check_key(self.prepared_from(model, precision), data, labels, accuracy.samples, self.tools)
        return Recipe(
            key=key,
            subject=f"{model.spec.name}/{dict(key.ingredients)['prepared.precision']}",
            task="verify",
            stage="verifying",
            request=request,
            sources=lambda: (self.workshop.obtain(self.prepared(model, precision)),),
            faults=comparison_faults,
            unchanged=model.unchanged,
            timeout_s=CHECK_TIMEOUT_S,
            memory_bytes=memory_bytes(model),
        )


def memory_bytes(model: SurveyedModel) -> int:
    """What a child is expected to take for a task on ``model``."""
    return _BASE_BYTES + _BUILD_FACTOR * model.facts.weights_bytes


def comparison_faults(_files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with a cached comparison."""
    try:
        comparison_from_json(outcome)
    except ValueError as error:
        return (str(error),)
    return ()


def model_file(prepared: Artefact) -> Path:
    """The ONNX file among a typed model's files."""
    return prepared.files[prepared.outcome["model"]]


def table_of(calibration: Artefact) -> Path:
    """The calibration table among an artefact's files."""
    return calibration.files[calibration.outcome["table"]]
