"""How a run tells what became of it: its report's files, the step's summary and outputs, and the comment."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from pipeline.delivery.deliver import deliver_report
from pipeline.errors import PublishError
from pipeline.publish.complaint import complaint
from pipeline.publish.github import outputs_from_report, write_outputs, write_step_summary
from pipeline.publish.parts import REPORT_JSON

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from pipeline.publish.details import Details
    from pipeline.publish.report import Report
    from pipeline.settings import Settings


def announce(settings: Settings, cancel: threading.Event, report: Report, details: Details) -> int:
    """Tell it everywhere. What cannot be written is told on stderr and changes nothing about the verdict.

    Returns 10 where a comment is required and was not written, else 0.
    """
    with warned():
        deliver_report(settings.out, report, details)
    outputs = outputs_from_report(report, report_path=settings.out / REPORT_JSON, engines_path=settings.out)
    if settings.step_summary is not None:
        with warned():
            write_step_summary(settings.step_summary, report, details)
    if settings.step_outputs is not None:
        with warned():
            write_outputs(settings.step_outputs, outputs)
    if settings.publishing is None:
        return 0
    from pipeline.hosts.publishing import publish_run

    return publish_run(settings, cancel, report, details)


@contextlib.contextmanager
def warned() -> Iterator[None]:
    """A ``PublishError`` in the block becomes a warning on stderr."""
    try:
        yield
    except PublishError as error:
        print(complaint(error, "warning"), file=sys.stderr)
