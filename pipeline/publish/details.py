"""What a report can say beyond one run: changes against the base branch, loosened gates, trends.

``report-details.json`` lies beside ``report.json`` and is exactly this; ``schemas/details.schema.json`` describes it. A
run that knows none of it writes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.compare.baseline import PastRun  # noqa: TC001  record_from_json reads the annotations
from pipeline.compare.change import Change  # noqa: TC001
from pipeline.compare.gates import ChangedGate  # noqa: TC001
from pipeline.compare.layer_changes import LayerChange  # noqa: TC001
from pipeline.record import RecordError, json_from_record, record_from_json

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetails:
    """What is known of one job beyond its report. ``history`` is the default branch's, oldest first.

    ``base`` is the base branch's result that ``change`` compares with; ``cause`` are the layers that changed most where
    the job became slower.
    """

    job: str
    change: Change | None = None
    base: PastRun | None = None
    cause: tuple[LayerChange, ...] = ()
    history: tuple[PastRun, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Of all jobs of a run. ``base`` names what was compared with, such as ``main at 1234abc``; may be empty.

    ``gpu_spent_s`` is for how long the run held GPUs, ``gpu_saved_s`` for how long others did for what it fetched.
    ``commit`` and ``image`` are what was built and the container image that did it; empty where nobody says.
    """

    base: str = ""
    jobs: tuple[JobDetails, ...] = ()
    changed_gates: tuple[ChangedGate, ...] = ()
    gpu_spent_s: float = 0.0
    gpu_saved_s: float = 0.0
    commit: str = ""
    image: str = ""

    @property
    def known(self) -> bool:
        """Whether anything is told that a report alone does not tell."""
        told = (self.base, self.jobs, self.changed_gates, self.gpu_spent_s, self.gpu_saved_s, self.commit)
        return any(map(bool, told))

    def of(self, job: str) -> JobDetails:
        """Those of one job, empty where nothing is known."""
        return next((details for details in self.jobs if details.job == job), JobDetails(job=job))


def details_to_json(details: Details) -> dict[str, Any]:
    """The JSON form that ``schemas/details.schema.json`` describes."""
    return {"schema_version": SCHEMA_VERSION, **json_from_record(details)}


def details_from_json(value: Any) -> Details:
    """The inverse of ``details_to_json``. Raises ``RecordError`` for anything else, naming the place."""
    if not isinstance(value, dict):
        raise RecordError("details must be a JSON object")
    version = value.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise RecordError(f"schema_version: must be {SCHEMA_VERSION}, not {version!r:.40}")
    return record_from_json(Details, {name: item for name, item in value.items() if name != "schema_version"})
