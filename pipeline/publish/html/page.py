"""A report as one HTML page that needs nothing but itself.

The page's policy (CSP) allows its own style and script alone, by their digests, and no request of any kind. All text is
escaped by Jinja2, and names that others chose are cleaned of control characters before.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.publish.against_base import CAUSE_HEADER, against_base_texts, cause_rows, change_text
from pipeline.publish.details import Details
from pipeline.publish.escape import one_line, plain_lines
from pipeline.publish.figures import (
    build_time_text,
    checked_as_text,
    duration_text,
    size_text,
    status_text,
    verdict_text,
)
from pipeline.publish.html import charts, scatter
from pipeline.publish.html.table import COLUMNS, rows_of
from pipeline.publish.html.template import page_template
from pipeline.publish.job_report import Status
from pipeline.publish.layers import shares_text
from pipeline.publish.reproduce import command_from_job
from pipeline.publish.speed import circumstances_text, slower_than_wider_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.inspection.layers import EngineLayers, Layer
    from pipeline.publish.report import Report

    Layers = Mapping[str, EngineLayers]

_FOLDER = Path(__file__).parent
_MOST_OPEN = 40
"""A chart of more rows is folded at first."""
_MOST_FAILED = 20
"""Failed jobs that are named above the table; each is told in full among the details."""
_MOST_LAYERS = 40
"""Layers that are listed of an engine: those that take longest, and how many others there are."""


def html_from_report(report: Report, details: Details | None = None, layers: Layers | None = None) -> str:
    """The whole page; ``layers`` is job id -> the engine's. Ends with a newline."""
    details, layers = details or Details(), layers or {}
    style, script = _asset("report.css"), _asset("report.js")
    saved_s = sum(job.previous_build_s or 0.0 for job in report.with_status(Status.CACHED))
    built_s = sum(job.build_s or 0.0 for job in report.jobs)
    return page_template(_FILTERS).render(
        report=report,
        details=details,
        layers=layers,
        style=style,
        script=script,
        policy=_policy(style, script),
        columns=COLUMNS,
        rows=rows_of(report, details),
        charts=charts,
        distributions=charts.distributions(report),
        speed_ups=charts.speed_ups(report),
        changes=charts.changes(details),
        builds=charts.builds(report),
        scatter=scatter.scatter(report),
        scatter_size=(scatter.WIDTH, scatter.HEIGHT),
        tiles=(
            ("Jobs", str(len(report.jobs))),
            ("Built", str(len(report.with_status(Status.BUILT)))),
            ("From the cache", str(len(report.with_status(Status.CACHED)))),
            ("Failed", str(len(report.with_status(Status.FAILED)))),
            ("Spent on building", duration_text(built_s)),
            ("Saved by the cache", duration_text(saved_s)),
            *((("GPU time spent", duration_text(details.gpu_spent_s)),) if details.gpu_spent_s else ()),
            *((("GPU time saved", duration_text(details.gpu_saved_s)),) if details.gpu_saved_s else ()),
        ),
        cause_header=CAUSE_HEADER,
        commands={job.id: command_from_job(job, report, details) for job in report.jobs},
        verdict=verdict_text(report, *against_base_texts(report, details)),
        reversed=slower_than_wider_precision(report),
        circumstances=circumstances_text(report),
        checked_as=checked_as_text(report),
        most_open=_MOST_OPEN,
        most_failed=_MOST_FAILED,
    )


def _slowest(engine: EngineLayers) -> tuple[tuple[Layer, float | None], ...]:
    """The layers that are listed, each with its share of the time in percent: the slowest, where they were timed."""
    total_ms = engine.time_ms
    if not total_ms:
        return tuple((layer, None) for layer in engine.layers[:_MOST_LAYERS])
    ordered = sorted(engine.layers, key=lambda layer: -(layer.time_ms or 0.0))
    return tuple((layer, 100 * (layer.time_ms or 0.0) / total_ms) for layer in ordered[:_MOST_LAYERS])


_FILTERS: Mapping[str, Callable[..., object]] = {
    "line": one_line,
    "lines": plain_lines,
    "size": size_text,
    "duration": duration_text,
    "status": status_text,
    "build_time": build_time_text,
    "change": change_text,
    "causes": cause_rows,
    "shares": shares_text,
    "slowest": _slowest,
}


def _policy(style: str, script: str) -> str:
    """The content security policy; a digest in it allows exactly that text (CSP Level 3, 2.3.1)."""
    return (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@lru_cache(maxsize=4)
def _asset(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
