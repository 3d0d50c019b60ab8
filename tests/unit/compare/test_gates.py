from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.compare.gates import JOB, ChangedGate, Gate, Strictness, changed_gates, gates_from_job, held_to_base
from pipeline.manifest.types import (
    Accuracy,
    Benchmark,
    Budgets,
    BuildSettings,
    Calibration,
    Location,
    Metric,
    Tolerance,
)
from pipeline.precision import Precision
from tests.support.specs import job

if TYPE_CHECKING:
    from pipeline.planning.plan import Job

HERE = Location("m.yaml", 1, 1)


def accuracy(samples: int | None = None, **limits: float) -> Accuracy:
    tolerances = [
        Tolerance(Metric(name.replace("_", "-")), precision, limit)
        for name, limit in limits.items()
        for precision in (Precision.FP16, Precision.INT8)
    ]
    return Accuracy(data=Path("/d.npz"), samples=samples, tolerances=tuple(tolerances), location=HERE)


def gates_of(**parts: Any) -> dict[str, Gate]:
    return {gate.name: gate for gate in gates_from_job(job(**parts))}


def changes(base: Job, head: Job) -> tuple[ChangedGate, ...]:
    return changed_gates({base.id: gates_from_job(base)}, {head.id: gates_from_job(head)})


def names(found: tuple[ChangedGate, ...]) -> list[str]:
    return [change.gate for change in found]


def test_the_gates_of_a_job_are_those_of_its_precision() -> None:
    gates = gates_of(
        accuracy=accuracy(cosine=0.99, top1_drop=1.0),
        budgets=Budgets(latency_ms=2.0),
        benchmark=Benchmark(location=HERE),
        calibration=Calibration(samples=8, location=HERE),
    )
    assert gates["budgets.latency_ms"] == Gate(name="budgets.latency_ms", strictness=Strictness.AT_MOST, limit=2.0)
    assert gates["accuracy.tolerances.cosine"].strictness is Strictness.AT_LEAST
    assert gates["accuracy.tolerances.top1-drop"].strictness is Strictness.AT_MOST
    assert gates["benchmark.duration_s"].limit == 5.0
    assert "calibration.samples" not in gates
    assert "calibration.samples" in gates_of(precision=Precision.INT8, calibration=Calibration(location=HERE))


@pytest.mark.parametrize(
    ("strictness", "base", "head", "loosened"),
    [
        (Strictness.AT_MOST, 1.0, 2.0, True),
        (Strictness.AT_MOST, 1.0, 0.5, False),
        (Strictness.AT_MOST, 1.0, None, True),
        (Strictness.AT_MOST, None, 1.0, False),
        (Strictness.AT_LEAST, 0.99, 0.9, True),
        (Strictness.AT_LEAST, 0.99, 0.999, False),
        (Strictness.AT_LEAST, 0.99, None, True),
        (Strictness.AMOUNT, 100.0, 10.0, True),
        (Strictness.AMOUNT, None, 10.0, True),
        (Strictness.AMOUNT, 100.0, None, False),
        (Strictness.AMOUNT, 100.0, 200.0, False),
        (Strictness.AMOUNT, 100.0, 100.0, False),
    ],
)
def test_a_gate_is_loosened_by_letting_more_pass(
    strictness: Strictness, base: float | None, head: float | None, loosened: bool
) -> None:
    before, after = (Gate(name="x", strictness=strictness, limit=limit) for limit in (base, head))
    assert before.loosened_to(after) is loosened


def test_T16_a_loosened_tolerance_is_flagged_and_judged_by_the_base_branch() -> None:
    base = job(accuracy=accuracy(cosine=0.99))
    head = job(accuracy=accuracy(cosine=0.5))
    assert changes(base, head) == (
        ChangedGate(job=base.id, gate="accuracy.tolerances.cosine", base=0.99, head=0.5, held=True),
    )
    held = held_to_base(head, gates_from_job(base)).accuracy
    assert held is not None
    assert {each.precision: each.limit for each in held.tolerances} == {Precision.FP16: 0.99, Precision.INT8: 0.5}


def test_T16_a_loosened_budget_is_flagged_and_judged_by_the_base_branch() -> None:
    base, head = job(budgets=Budgets(latency_ms=2.0, build_s=60)), job(budgets=Budgets(latency_ms=9.0))
    assert names(changes(base, head)) == ["budgets.build_s", "budgets.latency_ms"]
    assert held_to_base(head, gates_from_job(base)).budgets == Budgets(latency_ms=2.0, build_s=60)


def test_T16_a_lower_share_of_layers_in_the_precision_is_judged_by_the_base_branchs() -> None:
    base, head = (job(build=BuildSettings(min_precision_share=share)) for share in (0.9, 0.1))
    (change,) = changes(base, head)
    assert (change.gate, change.held) == ("build.min_precision_share", True)
    assert held_to_base(head, gates_from_job(base)).build == base.model.build
    assert changes(head, base) == ()


def test_T16_a_stricter_gate_counts_at_once() -> None:
    base = job(budgets=Budgets(latency_ms=2.0), accuracy=accuracy(cosine=0.9))
    head = job(budgets=Budgets(latency_ms=1.0, build_s=5), accuracy=accuracy(cosine=0.99))
    assert changes(base, head) == ()
    held = held_to_base(head, gates_from_job(base))
    assert (held.budgets, held.accuracy) == (head.model.budgets, head.model.accuracy)


def test_T16_a_tolerance_that_was_taken_out_is_put_back() -> None:
    base, head = job(accuracy=accuracy(cosine=0.99, max_absolute_error=0.1)), job(accuracy=accuracy(cosine=0.99))
    assert names(changes(base, head)) == ["accuracy.tolerances.max-absolute-error"]
    held = held_to_base(head, gates_from_job(base)).accuracy
    assert held is not None
    assert Tolerance(Metric.MAX_ABSOLUTE_ERROR, Precision.FP16, 0.1) in held.tolerances


def test_T16_measuring_less_is_flagged_for_a_person() -> None:
    base = job(
        accuracy=accuracy(cosine=0.99),
        benchmark=Benchmark(location=HERE),
        calibration=Calibration(samples=100, location=HERE),
        precision=Precision.INT8,
    )
    head = job(
        accuracy=accuracy(5, cosine=0.99),
        benchmark=Benchmark(duration_s=0.1, location=HERE),
        calibration=Calibration(samples=1, location=HERE),
        precision=Precision.INT8,
    )
    found = changes(base, head)
    assert names(found) == ["accuracy.samples", "calibration.samples", "benchmark.duration_s"]
    assert not any(change.held for change in found)


def test_T16_dropping_the_check_or_the_benchmark_is_flagged_for_a_person() -> None:
    base = job(accuracy=accuracy(cosine=0.99), benchmark=Benchmark(location=HERE))
    found = changes(base, job())
    assert names(found) == [
        "accuracy.tolerances.cosine",
        "accuracy.samples",
        "benchmark.warmup_s",
        "benchmark.duration_s",
    ]
    assert not any(change.held for change in found)
    assert held_to_base(job(), gates_from_job(base)).accuracy is None


def test_T16_a_job_that_is_gone_is_flagged() -> None:
    assert changed_gates({"a/b/fp16": ()}, {}) == (
        ChangedGate(job="a/b/fp16", gate=JOB, base=None, head=None, held=False),
    )


def test_a_new_job_has_nothing_to_be_held_to() -> None:
    assert changed_gates({}, {job().id: gates_from_job(job())}) == ()


def test_a_budget_that_later_versions_no_longer_know_is_left_alone() -> None:
    old = Gate(name="budgets.of_old", strictness=Strictness.AT_MOST, limit=1.0)
    assert held_to_base(job(), (old,)) == job().model


def test_the_rest_of_the_model_stays_as_it_is() -> None:
    head = job(budgets=Budgets(build_s=9))
    held = held_to_base(head, gates_from_job(job(budgets=Budgets(build_s=1))))
    assert replace(held, budgets=head.model.budgets) == head.model
