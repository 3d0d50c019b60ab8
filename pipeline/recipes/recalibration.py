"""What a retraining does to a model's calibration table: made again and compared, or kept where that is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Shortcut
from pipeline.prepare.calibration_drift import drift_between
from pipeline.prepare.calibration_table import read_table
from pipeline.recipes.retraining import entry_before_retraining

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact, Recipe
    from pipeline.artefacts.workshop import Workshop
    from pipeline.planning.survey import SurveyedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalibration:
    """A calibration after a retraining. ``seconds`` is how long it took, ``reused`` whether the old table was kept.

    Of ``tensors`` with a range before and now, ``moved`` have another one; the factors say how far, up or down, over a
    sample where the table was kept, else over all data.
    """

    seconds: float
    reused: bool
    tensors: int
    moved: int
    largest_factor: float
    median_factor: float


def table_shortcut(calibration: Recipe, model: SurveyedModel, workshop: Workshop) -> Shortcut | None:
    """Measure a sample and keep the table of the earlier weights, where the manifest allows it."""
    spec = model.spec.calibration
    if spec is None or spec.reuse_within is None:
        return None
    entry = entry_before_retraining(workshop.look_up(calibration.key, calibration.subject), model)
    before = workshop.earlier(entry, calibration.subject, calibration.faults) if entry is not None else None
    if before is None:
        return None

    def request(sources: tuple[Artefact, ...]) -> Mapping[str, Any]:
        table, ranges = (str(before.files[before.outcome[name]]) for name in ("table", "json"))
        return {
            **calibration.request(sources),
            "before": {"table": table, "ranges": ranges, "outcome": dict(before.outcome)},
            "within": spec.reuse_within,
        }

    return Shortcut(
        task="reuse-table",
        stage="comparing ranges of",
        request=request,
        told={},
        timeout_s=calibration.timeout_s,
    )


def recalibration_of(calibration: Recipe | None, model: SurveyedModel, workshop: Workshop) -> Recalibration | None:
    """What became of a table in this run; ``None`` where it was not made now, or not because of a retraining."""
    made = workshop.obtained(calibration.key) if calibration is not None else None
    if made is None or calibration is None or made.cached:
        return None
    entry = entry_before_retraining(made.lookup, model)
    if entry is None:
        return None
    reused = made.outcome.get("reused")
    if reused is not None:
        figures = {name: reused[name] for name in ("tensors", "moved", "largest_factor", "median_factor")}
        return Recalibration(seconds=round(made.made_in_s, 3), reused=True, **figures)
    before = workshop.earlier(entry, calibration.subject, calibration.faults)
    if before is None:
        return None
    drift = drift_between(read_table(_table(before)), read_table(_table(made)))
    return Recalibration(
        seconds=round(made.made_in_s, 3),
        reused=False,
        tensors=len(drift.moved) + drift.same,
        moved=len(drift.moved),
        largest_factor=round(drift.largest_factor, 6),
        median_factor=round(drift.median_factor, 6),
    )


def _table(calibration: Artefact) -> Path:
    return calibration.files[calibration.outcome["table"]]
