"""What the base branch left behind for the jobs of a run, and what a run of a branch leaves behind itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cache.scope import Scope
from pipeline.compare.baseline import RunName, baseline_from_job
from pipeline.compare.baseline_store import BaselineStore, Line
from pipeline.compare.gates import changed_gates, gates_from_job
from pipeline.planning.plan import jobs_from_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.cache.store import Store
    from pipeline.compare.baseline import JobBaseline
    from pipeline.compare.gates import ChangedGate
    from pipeline.manifest.types import Manifest
    from pipeline.planning.plan import Job
    from pipeline.publish.report import Report
    from pipeline.settings import Settings

_SHORT_COMMIT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a run is held against. ``name`` is such as ``main at 1234abc``, empty where it is held against nothing.

    ``baselines`` are by job id. ``history`` says that they are of the very branch that is built, so that they give the
    trend and judge nothing. ``changed_gates`` are what this state loosens. ``notes`` are phrases for the report.
    """

    name: str = ""
    baselines: Mapping[str, JobBaseline] = field(default_factory=dict)
    history: bool = False
    changed_gates: tuple[ChangedGate, ...] = ()
    notes: tuple[str, ...] = ()

    def judging(self, job: str) -> JobBaseline | None:
        """What judges ``job``; ``None`` where the base branch has nothing of it, or where this is that branch."""
        return None if self.history else self.baselines.get(job)


def keeps_baselines(settings: Settings) -> bool:
    """Whether this run is one of a branch whose results others trust."""
    return settings.cache is not None and Scope(settings.cache_scope).trusted and bool(settings.revision.branch)


def load_base(settings: Settings, store: Store | None, manifest: Manifest, jobs: Iterable[Job]) -> Base:
    """What the base branch left for ``jobs``, or what this branch left itself before.

    ``store`` is that of the trusted scope. Nothing is asked of it for a run that knows no branch.
    """
    branch = settings.revision.base or (settings.revision.branch if keeps_baselines(settings) else "")
    if store is None or not branch:
        return Base()
    own = not settings.revision.base
    kept = BaselineStore(store, _line(settings, branch))
    loaded = kept.load(job.id for job in jobs)
    if own:
        return Base(baselines=loaded.baselines, history=True, notes=loaded.notes)
    gone = set(kept.load_jobs()) - {job.id for job in jobs_from_manifest(manifest)}
    judged_by = {job: baseline.gates for job, baseline in loaded.baselines.items()} | dict.fromkeys(sorted(gone), ())
    return Base(
        name=_name(branch, loaded.baselines.values()),
        baselines=loaded.baselines,
        changed_gates=changed_gates(judged_by, {job.id: gates_from_job(job) for job in jobs}),
        notes=loaded.notes,
    )


def keep_baselines(
    settings: Settings, store: Store | None, report: Report, manifest: Manifest, jobs: Iterable[Job]
) -> tuple[str, ...]:
    """Leave the results of a branch for later pull requests; phrases about what failed. Other runs leave nothing."""
    if store is None or not keeps_baselines(settings):
        return ()
    kept = BaselineStore(store, _line(settings, settings.revision.branch))
    run = run_name(settings, report)
    gates = {job.id: gates_from_job(job) for job in jobs}
    baselines = (baseline_from_job(job, run, gates[job.id]) for job in report.jobs)
    notes = kept.save(baseline for baseline in baselines if baseline is not None)
    return (*notes, *kept.save_jobs(job.id for job in jobs_from_manifest(manifest)))


def run_name(settings: Settings, report: Report) -> RunName:
    """How this run is called in baselines."""
    return RunName(started=report.started, commit=settings.revision.commit, tool_version=report.tool_version)


def _line(settings: Settings, branch: str) -> Line:
    """A manifest is known by its path from the folder in which the run began, which is the checkout's."""
    path = Path(settings.manifest).absolute()
    inside = path.is_relative_to(Path.cwd())
    manifest = path.relative_to(Path.cwd()) if inside else path
    return Line(repository=settings.revision.repository, manifest=manifest.as_posix(), branch=branch)


def _name(branch: str, baselines: Iterable[JobBaseline]) -> str:
    """The branch and, where all results are of one commit, that."""
    commits = {baseline.run.commit for baseline in baselines}
    commit = commits.pop() if len(commits) == 1 else ""
    return f"{branch} at {commit[:_SHORT_COMMIT]}" if commit else branch
