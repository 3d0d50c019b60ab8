"""What is wrong with a run, at the manifest's lines that say so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.hosts.job_log import Annotation
from pipeline.manifest.load import load_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.errors import Fault
    from pipeline.manifest.types import Location
    from pipeline.publish.report import Report


def annotations_from_report(report: Report) -> tuple[Annotation, ...]:
    """One for each job that failed, at its model; at the first line where the manifest is not here any more."""
    failed = [job for job in report.jobs if job.failure is not None]
    places = _places(report.manifest) if failed else {}
    found = []
    for job in failed:
        failure, place = job.failure, places.get(job.model)
        assert failure is not None  # noqa: S101  these were chosen
        found.append(
            Annotation(
                file=report.manifest,
                line=place.line if place else 1,
                column=place.column if place else 1,
                title=f"{job.id}: {failure.kind}",
                text=": ".join(filter(None, (failure.what, failure.why))) + (f"; {failure.fix}" if failure.fix else ""),
            )
        )
    return tuple(found)


def annotations_from_faults(faults: Iterable[Fault]) -> tuple[Annotation, ...]:
    """One for each fault of a manifest."""
    return tuple(
        Annotation(
            file=fault.file,
            line=fault.line,
            column=fault.column,
            title=fault.path or "manifest",
            text=f"{fault.what}; {fault.fix}",
        )
        for fault in faults
    )


def _places(manifest: str) -> Mapping[str, Location]:
    try:
        return {model.name: model.location for model in load_manifest(Path(manifest)).models}
    except PipelineError:
        return {}
