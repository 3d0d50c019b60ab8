"""Reports found in a folder, put together: the parts of a matrix, each of which ran on a machine of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.errors import Cancelled, SettingsError
from pipeline.inspection.layers import EngineLayers, layers_from_json
from pipeline.paths import OutsideFolderError, contained
from pipeline.publish.details import Details, details_from_json
from pipeline.publish.figures import importance
from pipeline.publish.job_report import JobReport, Status
from pipeline.publish.report import Outcome, Report
from pipeline.publish.whole import whole_from_json
from pipeline.record import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TypeVar

    Read = TypeVar("Read")

REPORT_JSON = "report.json"
DETAILS_JSON = "report-details.json"
_LIMIT_BYTES = 64 << 20
_NEEDS_RUNNER_EXIT_CODE = 5
_UNDONE = (Status.NEEDS_RUNNER, Status.SKIPPED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class Parts:
    """What was found: at least one report, all details, and the layers of engines (job id -> layers)."""

    reports: tuple[Report, ...]
    details: Details
    layers: Mapping[str, EngineLayers]


def read_parts(folder: Path) -> Parts:
    """Every ``report.json`` in ``folder`` and below, in the order of their paths, with what else they tell.

    Raises ``SettingsError`` where there is none, one cannot be read, or they are of several manifests.
    """
    try:
        paths = sorted(folder.rglob(REPORT_JSON)) if folder.is_dir() else []
    except OSError as error:
        raise SettingsError("the folder cannot be read", why=error.strerror or str(error), where=str(folder)) from error
    if not paths:
        raise SettingsError(
            f"there is no {REPORT_JSON}", fix="name the folder that a run wrote with --out", where=str(folder)
        )
    wholes = tuple(_read(path, _checked_whole) for path in paths)
    reports = tuple(report for report, _ in wholes)
    manifests = dict.fromkeys(report.manifest for report in reports)
    if len(manifests) > 1:
        raise SettingsError(
            f"the reports are of {len(manifests)} manifests",
            why=", ".join(manifests),
            fix="name a folder with those of one",
            where=str(folder),
        )
    found = [
        _details_beside(path) if inside is None else inside for path, (_, inside) in zip(paths, wholes, strict=True)
    ]
    told_by = _told_by(reports)
    details = _joined([_of_part(index, each, told_by) for index, each in enumerate(found) if each is not None])
    layers: dict[str, EngineLayers] = {}
    for index, (path, report) in enumerate(zip(paths, reports, strict=True)):
        told = replace(report, jobs=tuple(job for job in report.jobs if told_by[job.id] == index))
        layers |= layers_beside(path.parent, told)
    return Parts(reports, details, layers)


def merged(reports: Sequence[Report]) -> Report:
    """One report of all parts, of which there must be one at least.

    A job that several parts have is taken from the one that did it, else from the later one. Verdict and exit code are
    those of a run that had all these jobs; it took as long as the longest part.
    """
    if len(reports) == 1:
        return reports[0]
    kept = tuple(_jobs_of(reports[index])[job_id] for job_id, index in _told_by(reports).items())
    exit_code = _exit_code(reports, kept)
    failed = Outcome.CANCELLED if exit_code == Cancelled.exit_code else Outcome.FAILED
    return Report(
        tool_version=", ".join(dict.fromkeys(report.tool_version for report in reports)),
        manifest=reports[0].manifest,
        started=min(report.started for report in reports),
        elapsed_s=max(report.elapsed_s for report in reports),
        verdict=failed if exit_code else Outcome.PASSED,
        exit_code=exit_code,
        runtimes=_runtimes(reports),
        jobs=kept,
        failures=tuple(dict.fromkeys(failure for report in reports for failure in report.failures)),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def _told_by(reports: Sequence[Report]) -> dict[str, int]:
    """Job id -> the index of the report that counts for it: of those that did it the latest, else the latest."""
    told_by = {job.id: index for index, report in enumerate(reports) for job in report.jobs}
    jobs = [_jobs_of(report) for report in reports]
    for index in sorted(range(len(reports)), key=lambda index: reports[index].started):
        for job_id, job in jobs[index].items():
            if _standing(job) >= _standing(jobs[told_by[job_id]][job_id]):
                told_by[job_id] = index
    return told_by


def _jobs_of(report: Report) -> dict[str, JobReport]:
    return {job.id: job for job in report.jobs}


def _of_part(index: int, details: Details, told_by: Mapping[str, int]) -> Details:
    """What one part knows of the jobs that it counts for, and of the whole run."""
    return replace(details, jobs=tuple(each for each in details.jobs if told_by.get(each.job, index) == index))


def did(job: JobReport) -> bool:
    """Whether a run did the job, with whatever end, rather than left it to another."""
    return job.status not in _UNDONE


def _standing(job: JobReport) -> tuple[bool, int]:
    return did(job), 0 if did(job) else -importance(job.status)


def _exit_code(reports: Iterable[Report], jobs: Sequence[JobReport]) -> int:
    codes = {job.failure.exit_code for job in jobs if job.failure is not None}
    codes |= {failure.exit_code for report in reports for failure in report.failures}
    if Cancelled.exit_code in codes or any(job.status is Status.CANCELLED for job in jobs):
        return Cancelled.exit_code
    asked = any(report.exit_code == _NEEDS_RUNNER_EXIT_CODE for report in reports)
    if asked and any(job.status is Status.NEEDS_RUNNER for job in jobs):
        codes.add(_NEEDS_RUNNER_EXIT_CODE)
    return min(codes, default=0)


def _runtimes(reports: Iterable[Report]) -> dict[str, str]:
    versions: dict[str, dict[str, None]] = {}
    for report in reports:
        for name, version in report.runtimes.items():
            versions.setdefault(name, {})[version] = None
    return {name: ", ".join(found) for name, found in versions.items()}


def layers_beside(folder: Path, report: Report) -> dict[str, EngineLayers]:
    """Job id -> layers, where their file is in ``folder``; it need not have been kept. Raises ``SettingsError``."""
    named = {job.id: job.layers.path for job in report.jobs if job.layers is not None and job.layers.path}
    files = {job: _file_inside(folder, path) for job, path in named.items()}
    return {job: _read(path, layers_from_json) for job, path in files.items() if path is not None}


def _file_inside(folder: Path, relative: str) -> Path | None:
    """The file that a report names, which may be any text; ``None`` where there is none of that name in ``folder``."""
    try:
        path = contained(folder, relative)
        return path if path.is_file() else None
    except (OutsideFolderError, OSError):
        return None


def _details_beside(path: Path) -> Details | None:
    beside = path.with_name(DETAILS_JSON)
    return _read(beside, details_from_json) if beside.is_file() else None


def _joined(parts: Sequence[Details]) -> Details:
    joined = Details()
    for part in parts:
        known = {each.job: each for each in (*joined.jobs, *part.jobs)}
        joined = replace(
            joined,
            base=joined.base or part.base,
            jobs=tuple(known.values()),
            changed_gates=tuple(dict.fromkeys((*joined.changed_gates, *part.changed_gates))),
            gpu_spent_s=joined.gpu_spent_s + part.gpu_spent_s,
            gpu_saved_s=joined.gpu_saved_s + part.gpu_saved_s,
            commit=joined.commit or part.commit,
            image=joined.image or part.image,
        )
    return joined


def _read(path: Path, read: Callable[[Any], Read]) -> Read:
    try:
        if not path.is_file():  # a pipe would be waited for without end
            raise RecordError("it is no regular file")
        with path.open("rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
        if len(data) > _LIMIT_BYTES:
            raise RecordError(f"it is longer than {_LIMIT_BYTES >> 20} MiB")
        return read(json.loads(data))
    except OSError as error:
        raise SettingsError("the file cannot be read", why=error.strerror or str(error), where=str(path)) from error
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, RecordError) else "it is no JSON"
        raise SettingsError("the file is no report that this version reads", why=why, where=str(path)) from error


def _checked_whole(value: Any) -> tuple[Report, Details | None]:
    """A report whose figures can be divided by, and the details in the same document."""
    report, details = whole_from_json(value)
    for job in report.jobs:
        for timed in (job.speed.engine, *job.speed.originals) if job.speed else ():
            if timed.compute.p50_ms <= 0:
                raise RecordError(f"{job.id}: a median of {timed.compute.p50_ms} ms is none")
    return report, details
