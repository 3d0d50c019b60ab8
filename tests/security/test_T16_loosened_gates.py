"""T16: a pull request that loosens its own gates is judged by those of the base branch, and the reader is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.compare.gates import changed_gates, gates_from_job, held_to_base
from pipeline.hosts.place import HostKind, Place
from pipeline.hosts.publication import comment_body
from pipeline.hosts.sticky import Sticky
from pipeline.manifest.types import Accuracy, Budgets, Location, Metric, Tolerance
from pipeline.precision import Precision
from pipeline.publish.details import Details
from pipeline.publish.html.page import html_from_report
from pipeline.publish.parts import Parts
from pipeline.verify.comparison import Comparison, OutputComparison
from pipeline.verify.judge import judge
from tests.support.reports import report_of
from tests.support.specs import job

HERE = Location("m.yaml", 1, 1)
PLACE = Place(
    kind=HostKind.GITHUB,
    api_url="",
    project="team/models",
    number=7,
    commit="a" * 40,
    run_url="",
    fork=False,
    token=None,
)


def accuracy(cosine: float | None) -> Accuracy:
    tolerances = () if cosine is None else (Tolerance(Metric.COSINE, Precision.FP16, cosine),)
    return Accuracy(data=Path("/d.npz"), samples=None, tolerances=tolerances, location=HERE)


@pytest.mark.parametrize("loosened", [0.5, None], ids=["lowered", "taken out"])
def test_a_tolerance_that_the_pull_request_loosens_judges_as_on_the_base_branch(loosened: float | None) -> None:
    base, head = job(accuracy=accuracy(0.99)), job(accuracy=accuracy(loosened))
    worse = Comparison(
        subject="engine", samples=10, emulated=False, outputs=(OutputComparison(name="logits", cosine_min=0.9),)
    )
    held = held_to_base(head, gates_from_job(base)).accuracy
    assert held is not None
    (verdict,) = judge(worse, held.tolerances, Precision.FP16)
    assert (verdict.passed, verdict.limit) == (False, 0.99)


def test_a_budget_that_is_raised_or_taken_out_is_the_base_branchs() -> None:
    base = job(budgets=Budgets(latency_ms=2.0, build_s=3.0))
    head = job(budgets=Budgets(latency_ms=9.0, build_s=None))
    held = held_to_base(head, gates_from_job(base)).budgets
    assert (held.latency_ms, held.build_s) == (2.0, 3.0)


def test_the_reader_is_told_what_was_loosened() -> None:
    base, head = job(budgets=Budgets(latency_ms=2.0)), job(budgets=Budgets(latency_ms=9.0))
    changes = changed_gates({base.id: gates_from_job(base)}, {head.id: gates_from_job(head)})
    parts = Parts((report_of(),), Details(changed_gates=changes), {})
    told = "budgets.latency_ms 2 -> 9: the base branch's judges"
    assert f"`{told}`" in comment_body(parts, PLACE, Sticky("m.yaml"), 65_536)
    assert "budgets.latency_ms" in html_from_report(parts.reports[0], parts.details, {})
