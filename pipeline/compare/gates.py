"""What a job is judged by, and what a change did to it: tolerances, budgets, and how much is measured.

A pull request edits the manifest that it is judged by. So what it loosens is held to the base branch's value, and
said; what it makes stricter counts at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import TYPE_CHECKING

from pipeline.manifest.types import Budgets, Metric, Tolerance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.manifest.types import ModelSpec
    from pipeline.planning.plan import Job

_BUDGET = "budgets."
_TOLERANCE = "accuracy.tolerances."
_SHARE = "build.min_precision_share"
JOB = "job"
"""The name of the gate that is gone where a whole job is."""


class Strictness(str, Enum):
    """Which way a gate is loosened."""

    AT_MOST = "at most"
    """By a higher limit, or none: budgets and errors."""
    AT_LEAST = "at least"
    """By a lower limit, or none: a cosine similarity, a share of layers."""
    AMOUNT = "amount"
    """By measuring less; no limit means all that there is."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One thing that a job is judged by, named by its place in the manifest, such as ``budgets.latency_ms``."""

    name: str
    strictness: Strictness
    limit: float | None

    def loosened_to(self, head: Gate | None) -> bool:
        """Whether ``head``, the same gate after a change, lets more pass. ``None``: it is gone."""
        if head is None:
            return self.limit is not None or self.strictness is Strictness.AMOUNT
        before, after = self.limit, head.limit
        if self.strictness is Strictness.AMOUNT:
            return after is not None and (before is None or after < before)
        if before is None:
            return False
        return after is None or (after < before if self.strictness is Strictness.AT_LEAST else after > before)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedGate:
    """A gate that a change loosens. ``held``: the job is judged by the base's limit all the same.

    Where it is not held, less is measured or nothing is left to judge, and a person must decide.
    """

    job: str
    gate: str
    base: float | None
    head: float | None
    held: bool


def gates_from_job(job: Job) -> tuple[Gate, ...]:
    """Every gate of one job, in a fixed order; a budget that the manifest does not give has no limit."""
    return tuple(_gates(job))


def changed_gates(base: Mapping[str, Iterable[Gate]], head: Mapping[str, Iterable[Gate]]) -> tuple[ChangedGate, ...]:
    """Every gate of ``base`` (job id -> gates) that ``head`` loosens or drops, in the order of ``base``."""
    changes = []
    for job, gates in base.items():
        if job not in head:
            changes.append(ChangedGate(job=job, gate=JOB, base=None, head=None, held=False))
            continue
        after = {gate.name: gate for gate in head[job]}
        measured = any(gate.name.startswith(_TOLERANCE) for gate in after.values())
        for gate in gates:
            now = after.get(gate.name)
            if gate.loosened_to(now):
                limited = gate.name == _SHARE or gate.name.startswith(_BUDGET)
                held = limited or (gate.name.startswith(_TOLERANCE) and measured)
                limit = None if now is None else now.limit
                changes.append(ChangedGate(job=job, gate=gate.name, base=gate.limit, head=limit, held=held))
    return tuple(changes)


def held_to_base(job: Job, base: Iterable[Gate]) -> ModelSpec:
    """The job's model with every limit of its precision as strict as ``base`` has it, or stricter.

    These are the tolerances, the budgets, and the share of layers that must have the precision. Meant for judging
    alone: the tolerances of other precisions are as they were.
    """
    now = {gate.name: gate for gate in gates_from_job(job)}
    loosened = {gate.name: gate.limit for gate in base if gate.loosened_to(now.get(gate.name))}
    known = [name for name in loosened if name.startswith(_BUDGET) and name in now]
    budgets = replace(job.model.budgets, **{name.removeprefix(_BUDGET): loosened[name] for name in known})
    share = loosened.get(_SHARE)
    build = job.model.build if share is None else replace(job.model.build, min_precision_share=share)
    accuracy = job.model.accuracy
    if accuracy is None:
        return replace(job.model, budgets=budgets, build=build)
    held = {name: limit for name, limit in loosened.items() if name.startswith(_TOLERANCE) and limit is not None}
    kept = tuple(
        tolerance
        for tolerance in accuracy.tolerances
        if tolerance.precision is not job.precision or _tolerance_name(tolerance) not in held
    )
    back = tuple(
        Tolerance(metric, job.precision, held[_TOLERANCE + metric.value])
        for metric in Metric
        if _TOLERANCE + metric.value in held
    )
    return replace(job.model, budgets=budgets, build=build, accuracy=replace(accuracy, tolerances=kept + back))


def _gates(job: Job) -> Iterator[Gate]:
    model = job.model
    for field in fields(Budgets):
        yield Gate(name=_BUDGET + field.name, strictness=Strictness.AT_MOST, limit=getattr(model.budgets, field.name))
    yield Gate(name=_SHARE, strictness=Strictness.AT_LEAST, limit=model.build.min_precision_share)
    if model.accuracy is not None:
        for tolerance in model.accuracy.tolerances:
            if tolerance.precision is job.precision:
                least = tolerance.metric is Metric.COSINE
                yield Gate(
                    name=_tolerance_name(tolerance),
                    strictness=Strictness.AT_LEAST if least else Strictness.AT_MOST,
                    limit=tolerance.limit,
                )
        yield Gate(name="accuracy.samples", strictness=Strictness.AMOUNT, limit=model.accuracy.samples)
    if model.calibration is not None and job.precision.quantized:
        yield Gate(name="calibration.samples", strictness=Strictness.AMOUNT, limit=model.calibration.samples)
    if model.benchmark is not None:
        for name in ("warmup_s", "duration_s"):
            limit = getattr(model.benchmark, name)
            yield Gate(name=f"benchmark.{name}", strictness=Strictness.AMOUNT, limit=limit)


def _tolerance_name(tolerance: Tolerance) -> str:
    return _TOLERANCE + tolerance.metric.value
