"""What is known of each model before anything is built: digests, facts, profiles, and that it passed its checks."""

from __future__ import annotations

import contextlib
import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artefacts.recipe import Recipe
from pipeline.digest import digest_from_file
from pipeline.errors import Fault, ManifestError, ModelError
from pipeline.near import near_spelling
from pipeline.paths import OutsideFolderError, contained
from pipeline.prepare.calibration_table import read_table
from pipeline.prepare.dataset_files import dataset_digest
from pipeline.prepare.facts import facts_from_json
from pipeline.prepare.shapes import complete_profiles, profile_faults
from pipeline.recipes.ingredients import calibration_ingredients, given_table_ingredients, model_digest, model_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pipeline.artefacts.workshop import Workshop
    from pipeline.digest import Digest
    from pipeline.keys import Ingredient
    from pipeline.manifest.types import ModelSpec, ShapeRange
    from pipeline.prepare.facts import ModelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedModel:
    """A model whose files were read, hashed and checked.

    ``digest`` covers the ONNX file and its external data. ``calibration`` holds the key ingredients of its
    calibration table, empty where it has none; ``calibration_data`` is the digest of the data alone, or of the table
    that the team gives. ``evaluation`` is the digest of the evaluation data and of its labels,
    ``benchmark_data`` that of the data to time with.
    """

    spec: ModelSpec
    digest: Digest
    onnx_digest: Digest
    external: Mapping[str, Digest]
    facts: ModelFacts
    profiles: tuple[Mapping[str, ShapeRange], ...]
    calibration: Mapping[str, Ingredient]
    evaluation: tuple[Digest, Digest | None] | None
    benchmark_data: Digest | None = None
    calibration_data: Digest | None = None

    def unchanged(self) -> bool:
        """Whether the model's files, and the table that the team gives, still hold the bytes that were hashed."""
        table = self.spec.calibration.table if self.spec.calibration else None
        try:
            return (
                digest_from_file(self.spec.onnx) == self.onnx_digest
                and self.external == _external_digests(self.spec, self.facts)
                and (table is None or digest_from_file(table) == self.calibration_data)
            )
        except (OSError, ModelError):
            return False


def survey_models(
    specs: Iterable[ModelSpec], workshop: Workshop, tools: Mapping[str, str]
) -> tuple[SurveyedModel, ...]:
    """Survey every model, and report what is wrong with all of them at once.

    Raises ``ManifestError`` for profiles that do not fit, else ``ModelError`` for models and data that are wrong.
    """
    faults: list[Fault] = []
    problems: list[ModelError] = []
    places: list[Fault] = []
    surveyed: list[SurveyedModel] = []
    for spec in specs:
        try:
            model = _survey_model(spec, workshop, tools)
        except ModelError as error:
            problems.append(error)
            at = spec.location
            places.append(error.fault_at(at.file, at.line, at.column, spec.name))
            continue
        faults.extend(profile_faults(spec, model.facts))
        faults.extend(_glob_faults(spec, model.facts))
        surveyed.append(model)
    if faults:
        raise ManifestError(tuple(faults))
    if problems:
        many = ModelError(f"{len(problems)} models are wrong", why="\n" + "\n".join(map(str, problems)))
        found = problems[0] if len(problems) == 1 else many
        found.faults = tuple(places)
        raise found
    return tuple(surveyed)


def _survey_model(spec: ModelSpec, workshop: Workshop, tools: Mapping[str, str]) -> SurveyedModel:
    with _file_errors(spec):
        onnx_digest = digest_from_file(spec.onnx)
    if spec.sha256 is not None and spec.sha256 != onnx_digest:
        raise ModelError(
            f"{spec.onnx} is not the file that the manifest names",
            why=f"its SHA-256 is {onnx_digest.hex}, the manifest says {spec.sha256.hex}",
            fix="fetch the right file, or correct `sha256`",
            where=str(spec.location),
        )
    facts = _facts(spec, onnx_digest, {}, workshop, tools)
    external = _external_digests(spec, facts)
    if external:
        facts = _facts(spec, onnx_digest, external, workshop, tools)
    with _file_errors(spec):
        calibration, calibration_data = _calibration(spec, tools)
        evaluation = (
            (
                dataset_digest(spec.accuracy.data),
                digest_from_file(spec.accuracy.labels) if spec.accuracy.labels else None,
            )
            if spec.accuracy
            else None
        )
        timed = spec.benchmark.data if spec.benchmark else None
        benchmark_data = dataset_digest(timed) if timed else None
    return SurveyedModel(
        spec=spec,
        digest=model_digest(onnx_digest, external),
        onnx_digest=onnx_digest,
        external=external,
        facts=facts,
        profiles=complete_profiles(spec, facts),
        calibration=calibration,
        calibration_data=calibration_data,
        evaluation=evaluation,
        benchmark_data=benchmark_data,
    )


def _calibration(spec: ModelSpec, tools: Mapping[str, str]) -> tuple[Mapping[str, Ingredient], Digest | None]:
    """Key ingredients and digest. A table that the team gives is read here, so that its faults are told at once."""
    calibration = spec.calibration
    if calibration is not None and calibration.table is not None:
        read_table(calibration.table)
        table = digest_from_file(calibration.table)
        return given_table_ingredients(table), table
    if calibration is not None and calibration.data is not None:
        data = dataset_digest(calibration.data)
        return calibration_ingredients(calibration, data, tools), data
    return {}, None


def _glob_faults(spec: ModelSpec, facts: ModelFacts) -> Iterator[Fault]:
    for glob, _ in spec.build.layer_precisions:
        if not fnmatch.filter(facts.node_names, glob):
            hint = near_spelling(glob, facts.node_names) or f"its nodes have names like {facts.node_names[0]!r}"
            where, path = spec.location, f"models.{spec.name}.build.layer_precisions"
            yield Fault(where.file, where.line, where.column, path, f"{glob!r} matches no node", hint)


def _facts(
    spec: ModelSpec,
    onnx_digest: Digest,
    external: Mapping[str, Digest],
    workshop: Workshop,
    tools: Mapping[str, str],
) -> ModelFacts:
    recipe = Recipe(
        key=model_key(onnx_digest, external, tools),
        subject=spec.name,
        task="inspect-model",
        stage="checking",
        request=lambda _: {"model": str(spec.onnx)},
        faults=lambda _files, outcome: _damage(facts_from_json, outcome),
        memory_bytes=1 << 29,
    )
    return facts_from_json(workshop.obtain(recipe).outcome)


def _damage(read: Callable[[Mapping[str, object]], object], outcome: Mapping[str, object]) -> tuple[str, ...]:
    try:
        read(outcome)
    except ValueError as error:
        return (str(error),)
    return ()


def _external_digests(spec: ModelSpec, facts: ModelFacts) -> dict[str, Digest]:
    with _file_errors(spec):
        return {name: digest_from_file(contained(spec.onnx.parent, name)) for name in sorted(facts.external_files)}


@contextlib.contextmanager
def _file_errors(spec: ModelSpec) -> Iterator[None]:
    try:
        yield
    except (OSError, OutsideFolderError) as error:
        raise ModelError(
            f"a file of model {spec.name!r} cannot be used",
            why=str(error),
            fix="check that it exists inside the repository and can be read",
            where=str(spec.location),
        ) from error
