"""A report and its details as one JSON document, for a program that reads one thing.

On disk they are two files, so that a reader of ``report.json`` meets nothing that another run's figures went into.
``schemas/report.schema.json`` describes this document too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.publish.details import details_from_json, details_to_json
from pipeline.publish.report import report_from_json, report_to_json

if TYPE_CHECKING:
    from pipeline.publish.details import Details
    from pipeline.publish.report import Report


def whole_to_json(report: Report, details: Details) -> dict[str, Any]:
    """The report's own fields, and ``details``, which are always there, be they empty."""
    return {**report_to_json(report), "details": details_to_json(details)}


def whole_from_json(value: Any) -> tuple[Report, Details | None]:
    """The inverse, also for a ``report.json`` alone, which has no details. Raises ``RecordError``."""
    if not isinstance(value, dict) or "details" not in value:
        return report_from_json(value), None
    own = {name: item for name, item in value.items() if name != "details"}
    return report_from_json(own), details_from_json(value["details"])
