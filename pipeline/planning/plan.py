"""What is to be done for each job, and why: the plan that is printed before any work starts (pure)."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from pipeline.cache.answers import Hit, previous_s_from_lookup
from pipeline.errors import SettingsError
from pipeline.near import near_spelling
from pipeline.publish.figures import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.cache.answers import CacheLookup
    from pipeline.manifest.types import Manifest, ModelSpec
    from pipeline.precision import Precision
    from pipeline.targets import Target


@dataclass(frozen=True, slots=True)
class Job:
    """One engine to have. ``id`` is the one string for it in plan, log, report, comment and tests."""

    model: ModelSpec
    target: Target
    precision: Precision

    @property
    def id(self) -> str:
        """Such as ``digits/sm_89/int8``."""
        return f"{self.model.name}/{self.target.id}/{self.precision}"


class State(str, Enum):
    """What a plan says of a job."""

    CACHED = "cached"
    BUILD = "build"
    NEEDS_RUNNER = "needs-runner"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job with what will be done and why. ``previous_s`` is how long its last build took, where one is recorded."""

    job: Job
    state: State
    reason: str
    previous_s: float | None = None
    hindrance: str = ""
    """Why the engine is built although the weights alone changed; part of ``reason``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every selected job, in the manifest's order."""

    jobs: tuple[PlannedJob, ...]

    def with_state(self, state: State) -> tuple[PlannedJob, ...]:
        """The jobs in one state."""
        return tuple(planned for planned in self.jobs if planned.state is state)


def jobs_from_manifest(manifest: Manifest, only: str = "*") -> tuple[Job, ...]:
    """Every job whose id matches a glob of ``only``, commas between. Raises ``SettingsError`` for one that has none."""
    jobs = tuple(
        Job(model, target, precision)
        for model in manifest.models
        for target in model.targets
        for precision in model.precisions
    )
    ids = [job.id for job in jobs]
    globs = [glob.strip() for glob in only.split(",")]
    for glob in globs:
        if not any(fnmatch.fnmatchcase(job_id, glob) for job_id in ids):
            wholes = (f"{glob}/*", f"*/{glob}/*", f"*/{glob}")
            near = next((f"did you mean {whole!r}?" for whole in wholes if glob and fnmatch.filter(ids, whole)), "")
            raise SettingsError(
                f"--only {glob!r} selects none of the {len(jobs)} job{'' if len(jobs) == 1 else 's'}",
                fix=near or near_spelling(glob, ids) or f"job ids look like {ids[0]}",
            )
    return tuple(job for job in jobs if any(fnmatch.fnmatchcase(job.id, glob) for glob in globs))


def planned_from_lookup(job: Job, lookup: CacheLookup) -> PlannedJob:
    """The plan's line for a job that this machine can build, from what the cache said."""
    if isinstance(lookup, Hit):
        return PlannedJob(job, State.CACHED, lookup.reason, lookup.receipt.duration_s)
    return PlannedJob(job, State.BUILD, lookup.reason, previous_s_from_lookup(lookup))


def to_be_refitted(planned: PlannedJob, instead_of_s: float) -> PlannedJob:
    """``planned`` where the engine is to be made of one that took ``instead_of_s`` to build."""
    told = f"to be refitted instead of built in about {duration_text(instead_of_s)}, since the weights alone changed"
    return replace(planned, reason=f"{told}; {planned.reason}", previous_s=None)


def not_to_be_refitted(planned: PlannedJob, hindrance: str) -> PlannedJob:
    """``planned`` where the weights alone changed, and the engine is built all the same."""
    return replace(planned, reason=f"{hindrance}; {planned.reason}", hindrance=hindrance)


def needs_runner(job: Job, missing: str) -> PlannedJob:
    """The plan's line for a job that another machine must build."""
    return PlannedJob(job, State.NEEDS_RUNNER, missing)


def models_of(jobs: Iterable[Job]) -> tuple[ModelSpec, ...]:
    """The models that the jobs need, each once, in order."""
    return tuple({job.model.name: job.model for job in jobs}.values())
