"""What speaks against an engine: missed tolerances, other precisions or tactics than asked for, budgets (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import AccuracyError, BuildError, RegressionError
from pipeline.inspection.precision_shares import audit_precision, error_from_audit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.artefacts.recipe import Artefact
    from pipeline.errors import PipelineError
    from pipeline.manifest.types import Budgets
    from pipeline.outcome.job import JobOutcome
    from pipeline.verify.comparison import Comparison

_MIB = 1 << 20
_TACTICS_TOLD = 20
_OVERFLOWS_TOLD = 5


def objection_to(outcome: JobOutcome) -> PipelineError | None:
    """What is wrong with a job's engine, the gravest thing alone; ``None`` where nothing is. It must have an engine."""
    job = outcome.planned.job
    missed = [str(verdict) for verdict in outcome.verdicts if not verdict.passed]
    if missed:
        return _inaccurate(job.id, missed, outcome.comparison)
    audit = (
        audit_precision(outcome.layers, job.precision, outcome.judged_by.build.min_precision_share)
        if outcome.layers
        else None
    )
    if audit is not None and audit.fault:
        return error_from_audit(audit)
    if outcome.rebuilt is not None and outcome.rebuilt.outcome["differences"]:
        return _other_tactics(job.id, outcome.rebuilt)
    exceeded = list(_exceeded(outcome.judged_by.budgets, outcome))
    if exceeded:
        return RegressionError(
            f"{job.id} exceeds its budget",
            why="; ".join(exceeded),
            fix="make it smaller or faster, or raise the budget",
        )
    return None


def _inaccurate(job_id: str, missed: list[str], comparison: Comparison | None) -> AccuracyError:
    overflows = comparison.overflows if comparison is not None else ()
    why = "; ".join(missed)
    fix = (
        "keep the layers that matter in higher precision (`build.layer_precisions`), calibrate on more or better data, "
        "or widen the tolerance if the loss is acceptable"
    )
    if overflows:
        told = [str(each) for each in overflows[:_OVERFLOWS_TOLD]]
        if len(overflows) > _OVERFLOWS_TOLD:
            told.append(f"{len(overflows) - _OVERFLOWS_TOLD} more nodes too")
        why = f"{why}. FP16 holds nothing beyond 65504: {', '.join(told)}"
        fix = (
            "keep these nodes, and what they lead to until it is small again, in FP32 (`build.layer_precisions`), or "
            "take bf16"
        )
    return AccuracyError(f"{job_id} is not accurate enough", why=why, fix=fix)


def _other_tactics(job_id: str, rebuilt: Artefact) -> BuildError:
    differences = rebuilt.outcome["differences"]
    told = [f"{each['layer']}: {each['before']} -> {each['after']}" for each in differences[:_TACTICS_TOLD]]
    more = [f"and {len(differences) - _TACTICS_TOLD} more"] if len(differences) > _TACTICS_TOLD else []
    return BuildError(
        f"{job_id} was built again from its own tactics, and {len(differences)} of {rebuilt.outcome['layers']} layers "
        "run others",
        why="\n".join((*told, *more)),
        fix="use `deterministic: record` where the same tactics are not needed",
    )


def _exceeded(budgets: Budgets, outcome: JobOutcome) -> Iterator[str]:
    engine, measurement = outcome.engine, outcome.measurement
    assert engine is not None  # noqa: S101  an engine is what is judged
    size_mib = int(engine.outcome["size_bytes"]) / _MIB
    if (limit_mib := budgets.engine_size_mib) is not None and size_mib > limit_mib:
        yield f"the engine has {_past(limit_mib, size_mib, 2)} MiB, the budget is {limit_mib:g} MiB"
    if (limit_s := budgets.build_s) is not None and not engine.cached and engine.made_in_s > limit_s:
        yield f"the build took {_past(limit_s, engine.made_in_s, 1)} s, the budget is {limit_s:g} s"
    p50_ms = None if measurement is None else measurement.compute.p50_ms
    if (limit_ms := budgets.latency_ms) is not None and p50_ms is not None and p50_ms > limit_ms:
        yield f"an inference takes {_past(limit_ms, p50_ms, 3)} ms, the budget is {limit_ms:g} ms"
    change = outcome.change
    if change is not None and change.regressed and change.latency is not None:
        low, high = change.latency.low_percent, change.latency.high_percent
        assert low is not None and change.budget_percent is not None  # noqa: S101, PT018  what regressed has both
        yield (
            f"an inference takes {change.latency.estimate_percent:.1f} % longer than with the base branch's engine, "
            f"timed in turn ({_past(change.budget_percent, low, 1)} % to {high:.1f} %), "
            f"the budget is {change.budget_percent:g} %"
        )


def _past(limit: float, measured: float, digits: int) -> str:
    """``measured``, which is more than ``limit``, with ``digits`` decimals, or as many as it takes to see that."""
    texts = (f"{measured:.{more}f}" for more in range(digits, digits + 12))
    return next((text for text in texts if float(text) > limit), repr(measured))
