"""What a run of the default branch leaves for later pull requests: one result for each job, as JSON.

``schemas/baseline.schema.json`` describes it. Whatever was written once stays readable: a later version of the format
adds a reader and keeps those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.compare.gates import Gate  # noqa: TC001  record_from_json reads the annotations
from pipeline.compare.measured import samples_from_measurement
from pipeline.compare.samples import Samples  # noqa: TC001
from pipeline.digest import Digest  # noqa: TC001
from pipeline.record import RecordError, json_from_record, record_from_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.publish.job_report import JobReport

SCHEMA_VERSION = 1
HISTORY = 30
"""How many runs a result remembers, the newest included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunName:
    """Which run it was. ``started`` is UTC, like ``2030-01-31T12:00:00Z``; ``commit`` is empty outside of git."""

    started: str
    commit: str
    tool_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured in one run; ``None`` where nothing was. ``build_s`` is of the last build, perhaps earlier.

    The latencies are the GPU's own time for one inference; the throughput is in inferences.
    """

    engine_size_bytes: int
    build_s: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    throughput_per_s: float | None = None
    memory_bytes: int | None = None
    top1_percent: float | None = None
    cosine_min: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One point of the trend."""

    run: RunName
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBaseline:
    """One job of the default branch: the engine's key by which it can be fetched, its figures, its gates.

    ``gpu`` names the GPU that timed it, ``None`` where none did; ``samples`` are its latencies. ``history`` is
    oldest first and ends with this very run.
    """

    job: str
    run: RunName
    engine_key: Digest
    engine_digest: Digest
    gpu: str | None
    figures: Figures
    samples: Samples | None
    gates: tuple[Gate, ...]
    history: tuple[PastRun, ...]


class BaselineError(ValueError):
    """Something that is no baseline of a known format; the text is a phrase."""


def baseline_from_job(job: JobReport, run: RunName, gates: tuple[Gate, ...]) -> JobBaseline | None:
    """The result of a job that has a fit engine, with no history but itself; ``None`` of any other job."""
    if job.engine is None or job.failure is not None:
        return None
    accuracy = job.accuracy
    cosines = [output.cosine_min for output in (accuracy.outputs if accuracy else ()) if output.exact_match is None]
    finite = [cosine for cosine in cosines if cosine is not None]
    timed = job.speed.engine if job.speed else None
    figures = Figures(
        engine_size_bytes=job.engine.size_bytes,
        build_s=job.previous_build_s if job.build_s is None else job.build_s,
        latency_p50_ms=timed.compute.p50_ms if timed else None,
        latency_p99_ms=timed.compute.p99_ms if timed else None,
        throughput_per_s=timed.best_inferences_per_s if timed else None,
        memory_bytes=timed.peak_memory_bytes if timed else None,
        top1_percent=accuracy.top1_candidate_percent if accuracy else None,
        cosine_min=min(finite) if finite and len(finite) == len(cosines) else None,
    )
    return JobBaseline(
        job=job.id,
        run=run,
        engine_key=job.engine.key,
        engine_digest=job.engine.digest,
        gpu=timed.device if timed else None,
        figures=figures,
        samples=samples_from_measurement(timed) if timed and timed.samples else None,
        gates=gates,
        history=(PastRun(run=run, figures=figures),),
    )


def continued(before: JobBaseline | None, now: JobBaseline) -> JobBaseline:
    """The newer of the two with both histories, oldest first, of at most ``HISTORY`` runs.

    Runs of one branch may end in another order than they began; a run counts by when it started, and once.
    """
    if before is None:
        return now
    newest = max(before, now, key=lambda each: (each.run.started, each is now))
    runs = {past.run: past for each in (before, now) for past in each.history}
    ordered = sorted(runs.values(), key=lambda past: past.run.started)
    return replace(newest, history=tuple(ordered[-HISTORY:]))


def baseline_to_json(baseline: JobBaseline) -> dict[str, Any]:
    """The JSON form that ``schemas/baseline.schema.json`` describes."""
    return {"schema_version": SCHEMA_VERSION, **json_from_record(baseline)}


def baseline_from_json(value: Any) -> JobBaseline:
    """Read a baseline of any version so far. Raises ``BaselineError``."""
    if not isinstance(value, dict):
        raise BaselineError("it is no JSON object")
    version = value.get("schema_version")
    reader = _READERS.get(version) if type(version) is int else None
    if reader is None:
        raise BaselineError(f"its schema_version {version!r:.40} is none of {', '.join(map(str, _READERS))}")
    try:
        return reader({name: item for name, item in value.items() if name != "schema_version"})
    except (RecordError, ValueError) as error:
        raise BaselineError(str(error)) from error


def _from_version_1(value: dict[str, Any]) -> JobBaseline:
    return record_from_json(JobBaseline, value)


_READERS: dict[int, Callable[[dict[str, Any]], JobBaseline]] = {1: _from_version_1}
