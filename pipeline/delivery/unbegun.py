"""From an error that kept a run from beginning its jobs to the report of that run."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.delivery.assemble import KINDS
from pipeline.errors import Cancelled, ManifestError, ModelError, PipelineError, PublishError
from pipeline.publish.report import FaultReport, Outcome, Report, RunFailureReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.errors import Fault

_FAULTS = 10
"""A manifest that is no manifest has thousands of faults; the log of the run names them all."""


@contextlib.contextmanager
def unbegun_told(manifest: Path, tell: Callable[[Report], None]) -> Iterator[None]:
    """``tell`` the report of a run that an error ends in this block. The error goes on, whatever comes of that."""
    started, clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), time.monotonic()
    try:
        yield
    except (Cancelled, PublishError):
        raise
    except PipelineError as error:
        tell(report_from_error(error, manifest=manifest, started=started, elapsed_s=time.monotonic() - clock))
        raise


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
