"""What engines are made of, for the terminal and for Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.inspection.layers import time_ms_from_layers
from pipeline.publish.escape import one_line
from pipeline.publish.figures import NOTHING
from pipeline.publish.speed import ms_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.inspection.changes import Change
    from pipeline.inspection.layers import EngineLayers, Layer
    from pipeline.inspection.precision_shares import PrecisionShare
    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report

LAYERS_HEADER = ("job", "layers", "as asked for", "by precision: layers (time)", "tactics when built again")
TABLE_HEADER = ("layer", "type", "precision", "time", "share", "tactic")
CHANGES_HEADER = ("what", "before", "after", "time before", "time after")
_UNTOLD = "untold"


def layers_rows(report: Report) -> tuple[tuple[str, ...], ...]:
    """One row of ``LAYERS_HEADER`` for each job whose engine was inspected."""
    return tuple(tuple(_cells(job)) for job in report.jobs if job.layers is not None)


def shares_text(shares: Sequence[PrecisionShare]) -> str:
    """Such as ``int8 81% (74%), fp16 19% (26%)``: of the layers, and in brackets of their time."""
    return ", ".join(_share_text(share) for share in shares) or NOTHING


def layer_rows(engine: EngineLayers) -> Iterator[tuple[str, ...]]:
    """One row of ``TABLE_HEADER`` for each layer, in the order in which they run."""
    whole_ms = engine.time_ms
    for layer in engine.layers:
        share = f"{layer.time_ms / whole_ms:.1%}" if layer.time_ms is not None and whole_ms else NOTHING
        yield (
            one_line(layer.name, 120),
            layer.type or NOTHING,
            layer.precision or _UNTOLD,
            _time_text((layer,)),
            share,
            one_line(layer.tactic or NOTHING, 120),
        )


def change_rows(changes: Sequence[Change]) -> Iterator[tuple[str, ...]]:
    """One row of ``CHANGES_HEADER`` for each change."""
    for change in changes:
        yield (
            ", ".join(change.words),
            _names(change.before),
            _names(change.after),
            _time_text(change.before),
            _time_text(change.after),
        )


def _cells(job: JobReport) -> Iterator[str]:
    layers = job.layers
    assert layers is not None  # noqa: S101  the caller selects the jobs that were inspected
    yield job.id
    yield str(layers.layers)
    yield NOTHING if layers.granted_share is None else f"{layers.granted_share:.0%}"
    yield shares_text(layers.shares)
    yield layers.tactics or NOTHING


def _share_text(share: PrecisionShare) -> str:
    time = "" if share.time_share is None else f" ({share.time_share:.0%})"
    return f"{share.precision or _UNTOLD} {share.layer_share:.0%}{time}"


def _names(layers: Sequence[Layer]) -> str:
    return "; ".join(one_line(layer.name, 120) for layer in layers) or NOTHING


def _time_text(layers: Sequence[Layer]) -> str:
    time_ms = time_ms_from_layers(layers)
    return NOTHING if time_ms is None else ms_text(time_ms)
