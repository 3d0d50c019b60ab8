"""Everything that is published about one run, and nothing else: ``report.json`` is exactly this.

Markdown, the terminal and the host's outputs are all made from a ``Report``. ``schemas/report.schema.json``
describes its JSON form.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  record_from_json reads the annotations
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipeline.publish.job_report import JobReport, Status  # noqa: TC001
from pipeline.record import RecordError, json_from_record, record_from_json

SCHEMA_VERSION = 1


class Outcome(str, Enum):
    """How the whole run ended."""

    PASSED = "passed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReport:
    """One thing wrong with the manifest or with a model that it names there, as in ``pipeline.errors.Fault``."""

    file: str
    line: int
    column: int
    path: str
    what: str
    fix: str

    @property
    def place(self) -> str:
        """``file:line:column``."""
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def subject(self) -> str:
        """What is wrong, with the path of what it is wrong with, where that is known."""
        return ": ".join(filter(None, (self.path, self.what)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailureReport:
    """What kept a run from beginning its jobs: ``kind`` is a word such as ``manifest``.

    ``where`` is ``file:line:column`` or a file, and may be empty. ``faults`` are the first ones of a manifest or its
    models; ``more_faults`` is how many there are besides.
    """

    kind: str
    exit_code: int
    what: str
    why: str = ""
    fix: str = ""
    where: str = ""
    faults: tuple[FaultReport, ...] = ()
    more_faults: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run. ``started`` is UTC, like ``2030-01-31T12:00:00Z``; ``runtimes`` is name -> installed version.

    A run that failed before its jobs were begun has one of ``failures`` and no jobs; several parts may have several.
    """

    tool_version: str
    manifest: str
    started: str
    elapsed_s: float
    verdict: Outcome
    exit_code: int
    runtimes: Mapping[str, str]
    jobs: tuple[JobReport, ...]
    failures: tuple[RunFailureReport, ...] = ()
    notes: tuple[str, ...] = ()

    def with_status(self, status: Status) -> tuple[JobReport, ...]:
        """The jobs that ended so."""
        return tuple(job for job in self.jobs if job.status is status)


def report_to_json(report: Report) -> dict[str, Any]:
    """The JSON form that ``schemas/report.schema.json`` describes."""
    return {"schema_version": SCHEMA_VERSION, **json_from_record(report)}


def report_from_json(value: Any) -> Report:
    """The inverse of ``report_to_json``. Raises ``RecordError`` for anything else, naming the place."""
    if not isinstance(value, dict):
        raise RecordError("a report must be a JSON object")
    version = value.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise RecordError(f"schema_version: must be {SCHEMA_VERSION}, not {version!r}")
    return record_from_json(Report, {name: item for name, item in value.items() if name != "schema_version"})
