"""From an error that kept a run from beginning its jobs to the report of that run (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.delivery.assemble import KINDS
from pipeline.errors import ManifestError, ModelError
from pipeline.publish.report import FaultReport, Outcome, Report, RunFailureReport

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.errors import Fault, PipelineError

_FAULTS = 10
"""A manifest that is no manifest has thousands of faults; the log of the run names them all."""


def report_from_error(error: PipelineError, *, manifest: Path, started: str, elapsed_s: float) -> Report:
    """The report of a run that ``error`` ended: it failed, and has no jobs. No runtime had a part in it."""
    return Report(
        tool_version=__version__,
        manifest=str(manifest),
        started=started,
        elapsed_s=round(elapsed_s, 3),
        verdict=Outcome.FAILED,
        exit_code=error.exit_code,
        runtimes={},
        jobs=(),
        failures=(_failure(error),),
    )


def _failure(error: PipelineError) -> RunFailureReport:
    faults = error.faults if isinstance(error, ManifestError | ModelError) else ()
    return RunFailureReport(
        kind=KINDS.get(error.exit_code, "unknown"),
        exit_code=error.exit_code,
        what=error.what,
        why=error.why,
        fix=error.fix,
        where=error.where,
        faults=tuple(map(_fault, faults[:_FAULTS])),
        more_faults=len(faults[_FAULTS:]),
    )


def _fault(fault: Fault) -> FaultReport:
    return FaultReport(
        file=fault.file, line=fault.line, column=fault.column, path=fault.path, what=fault.what, fix=fault.fix
    )
