"""Writes what a run leaves behind: engines, what is said of each beside it, and the reports."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.cache.answers import Hit
from pipeline.digest import Digest, digest_from_file
from pipeline.errors import PublishError, SettingsError
from pipeline.inspection.layers import LAYERS_SUFFIX, layers_to_json
from pipeline.paths import remove_unfinished, unlinked, write_bytes_atomically, written_atomically
from pipeline.provenance.statement import PROVENANCE_FILE, PROVENANCE_SUFFIX
from pipeline.publish.details import details_to_json
from pipeline.publish.job_report import EngineReport, TensorReport
from pipeline.publish.markdown import markdown_from_report
from pipeline.publish.parts import DETAILS_JSON, REPORT_JSON, layers_beside
from pipeline.publish.report import report_to_json
from pipeline.publish.sidecar import Sidecar, TargetReport, builder_settings_from_build, sidecar_to_json
from pipeline.recipes.engine_request import takes_table
from pipeline.runtimes import effective_refit, effective_verbosity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.outcome.job import JobOutcome
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.publish.details import Details
    from pipeline.publish.report import Report
    from pipeline.recipes.model import Recipes

REPORT_MARKDOWN = "report.md"
REPORT_HTML = "report.html"
LOGS = "logs"


def engine_path(job: Job) -> str:
    """Where a job's engine lies below the output folder: ``<model>/<target>/<precision>.engine``."""
    return f"{job.id}.engine"


def deliver_engine(out: Path, outcome: JobOutcome, model: SurveyedModel, recipes: Recipes) -> EngineReport | None:
    """Write a fit engine and its sidecar; remove what an earlier run left where there is none to deliver.

    An engine that was left in the cache is not written, and its report has no path. A job for another machine leaves
    files alone: they may have been brought from there. Raises ``OSError``, and ``OutsideFolderError`` where a link
    would lead the engine, or the removal of one, out of ``out``.
    """
    job, engine = outcome.planned.job, outcome.engine
    path = unlinked(out, engine_path(job))
    if engine is None or not outcome.fit:
        if outcome.error is not None:
            _remove_delivered(path)
        return None
    file: str = engine.outcome["engine"]
    if file not in engine.files:
        return _left_in_cache(out, job, engine)
    source = engine.files[file]
    with source.open("rb") as read, written_atomically(path) as written:
        shutil.copyfileobj(read, written, 1 << 20)
    if outcome.layers is not None:
        write_bytes_atomically(path.with_suffix(LAYERS_SUFFIX), _json_bytes(layers_to_json(outcome.layers)))
    report = EngineReport(
        path=engine_path(job),
        size_bytes=path.stat().st_size,
        digest=digest_from_file(path),
        key=engine.key.digest,
        inputs=_tensors(engine.outcome["inputs"]),
        outputs=_tensors(engine.outcome["outputs"]),
    )
    sidecar = _sidecar(report, outcome, model, recipes, runtime_version=str(engine.outcome["runtime_version"]))
    write_bytes_atomically(path.with_suffix(".json"), _json_bytes(sidecar_to_json(sidecar)))
    _deliver_provenance(path.with_suffix(PROVENANCE_SUFFIX), engine)
    return report


def _left_in_cache(out: Path, job: Job, engine: Artefact) -> EngineReport:
    """The report of an engine that was not fetched. What an earlier run wrote stays where it is the very same."""
    path, blob = out / engine_path(job), engine.blobs[engine.outcome["engine"]]
    same = path.is_file() and path.stat().st_size == blob.size_bytes and digest_from_file(path) == blob.digest
    if not same:
        _remove_delivered(path)
    return EngineReport(
        path=engine_path(job) if same else None,
        size_bytes=blob.size_bytes,
        digest=blob.digest,
        key=engine.key.digest,
        inputs=_tensors(engine.outcome["inputs"]),
        outputs=_tensors(engine.outcome["outputs"]),
    )


def _remove_delivered(path: Path) -> None:
    path.unlink(missing_ok=True)
    for suffix in (".json", LAYERS_SUFFIX, PROVENANCE_SUFFIX):
        path.with_suffix(suffix).unlink(missing_ok=True)


def deliver_report(out: Path, report: Report, details: Details | None = None) -> None:
    """Write ``report.json``, ``report.md`` and ``report.html``, and beside them what else is known.

    Details that an earlier run left there are removed where nothing is. Raises ``PublishError``.
    """
    from pipeline.publish.html.page import html_from_report

    try:
        write_bytes_atomically(out / REPORT_JSON, _json_bytes(report_to_json(report)))
        if details is not None and details.known:
            write_bytes_atomically(out / DETAILS_JSON, _json_bytes(details_to_json(details)))
        else:
            (out / DETAILS_JSON).unlink(missing_ok=True)
        write_bytes_atomically(out / REPORT_MARKDOWN, markdown_from_report(report, details=details).encode())
        page = html_from_report(report, details, layers_beside(out, report))
        write_bytes_atomically(out / REPORT_HTML, page.encode("utf-8", "replace"))
    except (OSError, SettingsError) as error:
        raise PublishError(
            f"the report could not be written to {out}", why=str(error), fix="make space, or check the permissions"
        ) from error


def forget_report(out: Path) -> None:
    """Remove the report of an earlier run, so that a run which ends without one is not taken for that.

    What a run that was killed was writing then goes with it.
    """
    for pattern in ("", "*/*/"):
        remove_unfinished(out, pattern)
    for name in (REPORT_JSON, REPORT_MARKDOWN, REPORT_HTML):
        with contextlib.suppress(OSError):
            (out / name).unlink()


def _deliver_provenance(path: Path, engine: Artefact) -> None:
    """The statement as it was made; an engine that an older version built has none, and none of another may stay."""
    statement = engine.files.get(PROVENANCE_FILE)
    if statement is None:
        path.unlink(missing_ok=True)
    else:
        write_bytes_atomically(path, statement.read_bytes())


def _sidecar(
    report: EngineReport, outcome: JobOutcome, model: SurveyedModel, recipes: Recipes, *, runtime_version: str
) -> Sidecar:
    job, build = outcome.planned.job, outcome.planned.job.model.build
    told = outcome.engine.outcome if outcome.engine is not None else {}
    origin = told.get("refit")
    return Sidecar(
        job=job.id,
        key=report.key,
        engine_digest=report.digest,
        engine_size_bytes=report.size_bytes,
        model_digest=model.digest,
        calibration_table_digest=_table_digest(job, model, recipes) if job.precision.quantized else None,
        precision=job.precision,
        target=TargetReport(
            id=job.target.id,
            runtime=job.target.runtime,
            compute_capability="{}.{}".format(*job.target.compute_capability),
            gpu=job.target.gpu,
        ),
        tool_version=__version__,
        runtime_version=runtime_version,
        tools=dict(recipes.tools),
        inputs=report.inputs,
        outputs=report.outputs,
        profiles=model.profiles,
        refitted_from=None if origin is None else Digest.parse(origin["origin"]),
        builder_settings=builder_settings_from_build(
            build,
            effective_verbosity(job.target, build),
            refit=effective_refit(job.target, build, job.precision, runtime_version) and not told.get("not_refittable"),
        ),
    )


def _table_digest(job: Job, model: SurveyedModel, recipes: Recipes) -> Digest | None:
    """The digest of the table that the engine's key stands for, where the team gives it or the cache still has it."""
    recipe = recipes.table(model, native=takes_table(job))
    if recipe is None:
        return model.calibration_data
    lookup = recipes.workshop.look_up(recipe.key, recipe.subject)
    if not isinstance(lookup, Hit):
        return None
    return next((blob.digest for blob in lookup.receipt.blobs if blob.name.endswith(".table")), None)


def _tensors(tensors: list[Mapping[str, object]]) -> tuple[TensorReport, ...]:
    return tuple(
        TensorReport(str(tensor["name"]), str(tensor["dtype"]), tuple(_dimensions(tensor["shape"])))
        for tensor in tensors
    )


def _dimensions(shape: object) -> list[int | str | None]:
    return list(shape) if isinstance(shape, list) else []


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
