"""Data sets that do not fit their model, found before anything is calibrated, built or verified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.artefacts.recipe import Recipe
from pipeline.errors import ModelError
from pipeline.prepare.facts import facts_to_json
from pipeline.recipes.numbers import numbered_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pipeline.artefacts.workshop import Workshop
    from pipeline.digest import Digest
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes


def check_data(recipes: Recipes, models: Mapping[str, SurveyedModel], jobs: Iterable[Job]) -> None:
    """Hold calibration, evaluation and timing data of the models of ``jobs`` against the models' inputs.

    Only what the files say of themselves is looked at: names, types, shapes and counts. Raises ``ModelError`` with
    every data set that does not fit.
    """
    by_name: dict[str, list[Job]] = {}
    for job in jobs:
        by_name.setdefault(job.model.name, []).append(job)
    found = [
        error
        for name, its_jobs in by_name.items()
        for recipe in _recipes(models[name], quantized=any(job.precision.quantized for job in its_jobs))
        if (error := _objection(recipes.workshop, recipe, models[name])) is not None
    ]
    if len(found) == 1:
        raise found[0]
    if found:
        many = ModelError(f"{len(found)} data sets do not fit", why="\n  " + "\n  ".join(map(str, found)))
        many.faults = tuple(fault for error in found for fault in error.faults)
        raise many


def _objection(workshop: Workshop, recipe: Recipe, model: SurveyedModel) -> ModelError | None:
    try:
        workshop.obtain(recipe)
    except ModelError as error:
        at = model.spec.location
        error.faults = (error.fault_at(at.file, at.line, at.column, model.spec.name),)
        return error
    return None


def _recipes(model: SurveyedModel, *, quantized: bool) -> Iterator[Recipe]:
    calibration, accuracy, benchmark = model.spec.calibration, model.spec.accuracy, model.spec.benchmark
    if quantized and calibration is not None and calibration.data is not None and model.calibration_data is not None:
        yield _recipe(model, calibration.data, model.calibration_data, samples=calibration.samples)
    if accuracy is not None and model.evaluation is not None:
        digest, labels = model.evaluation
        yield _recipe(model, accuracy.data, digest, samples=accuracy.samples, labels=(accuracy.labels, labels))
    if benchmark is not None and benchmark.data is not None and model.benchmark_data is not None:
        yield _recipe(model, benchmark.data, model.benchmark_data)


def _recipe(
    model: SurveyedModel,
    data: Path,
    digest: Digest,
    *,
    samples: int | None = None,
    labels: tuple[Path | None, Digest | None] = (None, None),
) -> Recipe:
    inputs = facts_to_json(model.facts)["inputs"]
    file, labels_digest = labels
    named = {
        "data": str(digest),
        "data.samples": samples,
        "data.labels": None if labels_digest is None else str(labels_digest),
        "model.inputs": json.dumps(inputs, sort_keys=True),
    }
    return Recipe(
        key=numbered_key("data", named),
        subject=f"{model.spec.name}/{data.name}",
        task="check-data",
        stage="checking data of",
        request=lambda _: {
            "data": str(data),
            "inputs": inputs,
            "samples": samples,
            "labels": None if file is None else str(file),
        },
        unchanged=model.unchanged,
    )
