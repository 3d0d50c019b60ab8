"""What is wrong with a run, at the manifest's lines that say so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.hosts.job_log import Annotation
from pipeline.manifest.load import load_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.errors import Fault
    from pipeline.manifest.types import Location
    from pipeline.publish.job_report import FailureReport
    from pipeline.publish.report import FaultReport, Report, RunFailureReport


_PLACE = re.compile(r"(?P<file>.+):(?P<line>[1-9][0-9]{0,8}):(?P<column>[1-9][0-9]{0,8})")


def annotations_from_report(report: Report) -> tuple[Annotation, ...]:
    """One for each job that failed, at its model; at the first line where the manifest is not here any more.

    Before them what kept runs from beginning their jobs: each fault of the manifest, at its line.
    """
    failed = [job for job in report.jobs if job.failure is not None]
    places = _places(report.manifest) if failed else {}
    found = [annotation for failure in report.failures for annotation in _of_run(failure, report.manifest)]
    for job in failed:
        failure, place = job.failure, places.get(job.model)
        assert failure is not None  # noqa: S101  these were chosen
        found.append(
            Annotation(
                file=report.manifest,
                line=place.line if place else 1,
                column=place.column if place else 1,
                title=f"{job.id}: {failure.kind}",
                text=_text(failure),
            )
        )
    return tuple(found)


def annotations_from_faults(faults: Iterable[Fault | FaultReport]) -> tuple[Annotation, ...]:
    """One for each fault of a manifest."""
    return tuple(
        Annotation(
            file=fault.file,
            line=fault.line,
            column=fault.column,
            title=fault.path or "manifest",
            text="; ".join(filter(None, (fault.what, fault.fix))),
        )
        for fault in faults
    )


def _of_run(failure: RunFailureReport, manifest: str) -> tuple[Annotation, ...]:
    if failure.faults:
        return annotations_from_faults(failure.faults)
    place = _PLACE.fullmatch(failure.where)
    return (
        Annotation(
            file=place["file"] if place else manifest,
            line=int(place["line"]) if place else 1,
            column=int(place["column"]) if place else 1,
            title=failure.kind,
            text=_text(failure),
        ),
    )


def _text(failure: FailureReport | RunFailureReport) -> str:
    return ": ".join(filter(None, (failure.what, failure.why))) + (f"; {failure.fix}" if failure.fix else "")


def _places(manifest: str) -> Mapping[str, Location]:
    try:
        return {model.name: model.location for model in load_manifest(Path(manifest)).models}
    except PipelineError:
        return {}
