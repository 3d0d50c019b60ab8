"""How a model's artefacts are made from the ones before: refused operators, table, typed model, and its check."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.digest import digest_from_file
from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod
from pipeline.planning.operators import operators_faults
from pipeline.precision import Precision
from pipeline.prepare.calibration_table import read_table
from pipeline.prepare.facts import facts_to_json
from pipeline.provenance.origin import Origin
from pipeline.recipes.ingredients import (
    calibration_key,
    native_calibration_ingredients,
    operators_key,
    prepared_ingredients,
    prepared_key,
)
from pipeline.recipes.measurement_keys import check_key
from pipeline.recipes.recalibration import table_shortcut
from pipeline.recipes.retraining import structure_notes
from pipeline.targets import TENSORRT
from pipeline.verify.comparison import comparison_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.artefacts.workshop import Workshop
    from pipeline.keys import Ingredient
    from pipeline.machine.devices import GpuDevice
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.timing_caches import TimingCaches

_BASE_BYTES = 1 << 30
_BUILD_FACTOR = 4
"""A TensorRT-RTX build peaked at 3.3 times the weights (2.25 GiB model, 1.7.1)."""
CHECK_TIMEOUT_S = 3600.0
CHECK_BATCH_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipes:
    """Recipes of one run. ``tools`` and ``runtimes`` are package or runtime name -> installed version.

    ``gpus`` are those of this machine; ``timing_caches`` are those of TensorRT, where a run has a cache.
    ``origin`` is what engines are said to come from.
    """

    workshop: Workshop
    tools: Mapping[str, str]
    runtimes: Mapping[str, str]
    gpus: tuple[GpuDevice, ...] = ()
    timing_caches: TimingCaches | None = None
    origin: Origin = field(default_factory=Origin)

    def operators(self, model: SurveyedModel, runtime: str) -> Recipe:
        """Which operators ``runtime``'s parser refuses."""
        return Recipe(
            key=operators_key(model.facts.named_structure, runtime, self.runtimes[runtime]),
            subject=f"{model.spec.name}/{runtime}",
            task="check-operators",
            stage="checking operators of",
            request=lambda _: {"runtime": runtime, "model": str(model.spec.onnx)},
            faults=operators_faults,
            gpus=self.gpus if runtime == TENSORRT else (),
            memory_bytes=memory_bytes(model),
        )

    def table(self, model: SurveyedModel, *, native: bool, gpus: tuple[GpuDevice, ...] = ()) -> Recipe | None:
        """The calibration table of a model for a builder; ``None`` where the team gives the table.

        ``native`` says whether the builder is full TensorRT, which calibrates itself on one of ``gpus``. It has no
        percentile calibrator, so that such a table is handed to it ready made.
        """
        calibration = model.spec.calibration
        assert calibration is not None  # noqa: S101  the manifest refuses INT8 without it
        if calibration.table is not None:
            return None
        if native and calibration.method is not CalibrationMethod.PERCENTILE:
            return self.native_calibration(model, gpus)
        return self.calibration(model)

    def table_ingredients(self, model: SurveyedModel, *, native: bool) -> Mapping[str, Ingredient]:
        """What, beside the model, decides that table."""
        calibration = model.spec.calibration
        if not native or calibration is None or calibration.table or calibration.method is CalibrationMethod.PERCENTILE:
            return model.calibration
        assert model.calibration_data is not None  # noqa: S101  it has calibration data
        plugins = tuple(map(digest_from_file, model.spec.build.plugins))
        return native_calibration_ingredients(
            calibration, model.calibration_data, self.runtimes[TENSORRT], plugins=plugins
        )

    def calibration(self, model: SurveyedModel) -> Recipe:
        """The calibration table that ONNX Runtime makes of a model that has calibration data."""
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
            faults=table_faults,
            unchanged=model.unchanged,
            timeout_s=model.spec.build.timeout_s,
            memory_bytes=memory_bytes(model),
            expensive=True,
            shortcut=lambda: table_shortcut(self.calibration(model), model, self.workshop),
            notes=structure_notes(model),
        )

    def native_calibration(self, model: SurveyedModel, gpus: tuple[GpuDevice, ...]) -> Recipe:
        """The calibration table of TensorRT's own calibrators, made on one of ``gpus`` and used for all."""
        plain, build = self.calibration(model), model.spec.build

        def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
            return {
                **plain.request(sources),
                "runtime": TENSORRT,
                "tactic_sources": None if build.tactic_sources is None else list(build.tactic_sources),
                "plugins": [str(path) for path in build.plugins],
            }

        return replace(
            plain,
            key=calibration_key(model.digest, self.table_ingredients(model, native=True)),
            task="calibrate-native",
            request=request,
            gpus=gpus,
            shortcut=lambda: None,
        )

    def prepared_from(self, model: SurveyedModel, precision: Precision) -> Mapping[str, Ingredient]:
        """The key ingredients of a typed model."""
        return prepared_ingredients(model.digest, precision, model.spec.build, model.calibration, self.tools)

    def prepared(self, model: SurveyedModel, precision: Precision) -> Recipe:
        """A model with the precision written into its graph."""
        key = prepared_key(self.prepared_from(model, precision))
        recipe = self.table(model, native=False) if precision.quantized else None
        given = given_table(model) if precision.quantized else None

        def sources() -> tuple[Artefact, ...]:
            return (self.workshop.obtain(recipe),) if recipe is not None else ()

        def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
            return {
                "model": str(model.spec.onnx),
                "precision": str(dict(key.ingredients)["prepared.precision"]),
                "table": str(table_of(sources[0])) if sources else str(given) if given is not None else None,
                "table_is_given": given is not None,
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
            faults=prepared_faults,
            unchanged=model.unchanged,
            timeout_s=model.spec.build.timeout_s,
            memory_bytes=memory_bytes(model),
            # It is the model itself, and sooner made again than moved. Whoever finds an engine without weights later
            # needs it by its key.
            stored=model.spec.build.strip_weights or precision not in (Precision.FP32, Precision.TF32),
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


def prepared_faults(files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with a typed model: nobody looks into it here, but its files must be those that it names."""
    return () if outcome["model"] in files else (f"its model {outcome['model']!r:.80} is none of its files",)


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


def table_faults(files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with a cached calibration table. Whether it is complete is asked again where it is used."""
    try:
        table = read_table(files[outcome["table"]])
    except ModelError as error:
        return (f"{error.what}: {error.why}",)
    tensors = len(table.scales)
    return () if tensors == outcome["tensors"] else (f"its table holds {tensors} tensors, not {outcome['tensors']}",)


def given_table(model: SurveyedModel) -> Path | None:
    """The calibration table that the team gives."""
    return model.spec.calibration.table if model.spec.calibration else None


def table_of(calibration: Artefact) -> Path:
    """The calibration table among an artefact's files."""
    return calibration.files[calibration.outcome["table"]]
