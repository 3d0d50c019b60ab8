"""Whole runs of a branch and of pull requests against it, on a machine whose children are functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import BuildError
from tests.support.fake_gpu_machine import BENCHMARK, PLAN, FakeMachine

if TYPE_CHECKING:
    from pathlib import Path

BUDGET = "budgets: {regression_percent: 3}"
TIMED = f"{BENCHMARK}\n    {BUDGET}"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    return FakeMachine(tmp_path).install(monkeypatch)


def job_of(report: dict[str, Any]) -> dict[str, Any]:
    (job,) = report["jobs"]
    found: dict[str, Any] = job
    return found


def details_of(report: dict[str, Any]) -> dict[str, Any]:
    (details,) = report["details"]["jobs"]
    found: dict[str, Any] = details
    return found


def test_an_engine_with_the_base_branchs_key_is_not_timed_again(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    timed = machine.tasks["benchmark"]
    report = machine.run_change(more=TIMED)
    assert machine.tasks["benchmark"] == timed
    assert details_of(report)["change"]["basis"] == "same-engine"
    assert report["details"]["base"] == "main at aaaaaaa"


def test_another_engine_is_timed_in_turn_with_the_base_branchs(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    report = machine.run_change(level=4, more=TIMED)
    change = details_of(report)["change"]
    assert (report["returncode"], change["basis"], change["verdict"]) == (0, "paired", "faster")
    assert change["latency"]["low_percent"] < -10 < change["latency"]["high_percent"] < -8
    assert len(machine.timed) == change["processes"] == 32
    assert len(set(machine.timed)) == 2


def test_a_slow_down_past_the_budget_fails_the_run_with_the_exit_code_of_budgets(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    report = machine.run_change(level=2, more=TIMED)
    assert report["returncode"] == 8
    assert "longer than with the base branch's engine" in job_of(report)["failure"]["why"]
    assert details_of(report)["change"]["regressed"]


def test_a_slow_down_whose_interval_reaches_into_the_budget_passes(machine: FakeMachine) -> None:
    machine.ms[2] = 1.03
    machine.run_main(more=TIMED)
    report = machine.run_change(level=2, more=TIMED)
    assert report["returncode"] == 0
    assert details_of(report)["change"]["verdict"] == "slower"


def test_the_same_speed_is_told_with_the_noise_of_the_runner(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    change = details_of(machine.run_change(level=3, more=TIMED))["change"]
    assert change["verdict"] == "same"
    assert change["noise"]["low_percent"] < 0 < change["noise"]["high_percent"]


def test_without_a_budget_a_slow_down_is_shown_and_passes(machine: FakeMachine) -> None:
    machine.run_main()
    report = machine.run_change(level=2)
    assert (report["returncode"], details_of(report)["change"]["verdict"]) == (0, "slower")


def test_a_slow_down_names_the_layers_that_changed_most(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    cause = details_of(machine.run_change(level=2, more=TIMED))["cause"]
    assert [layer["after"] for layer in cause] == [[f"/block.{number}/Conv"] for number in (7, 6, 5, 4, 3)]
    assert cause[0]["tactic"] == "tactic of level 1 -> tactic of level 2"
    assert "slower" in cause[0]["what"]


def test_a_second_run_of_the_same_change_times_nothing_again(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    first = machine.run_change(level=2, more=TIMED)
    timed = machine.tasks["benchmark"]
    second = machine.run_change(level=2, more=TIMED)
    assert machine.tasks["benchmark"] == timed
    assert details_of(second)["change"] == details_of(first)["change"]
    assert second["returncode"] == 8


def test_stored_figures_are_shown_and_not_judged_where_the_base_engine_is_gone(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    for receipt in (machine.folder / ".trt-cache").rglob("receipt*/engine/**/*.json"):
        receipt.unlink()
    report = machine.run_change(level=2, more=TIMED)
    change = details_of(report)["change"]
    assert (report["returncode"], change["basis"]) == (0, "stored")
    assert change["latency"]["estimate_percent"] == pytest.approx(5, abs=1)
    assert any("it is not in the cache any more" in text for text in job_of(report)["warnings"])


def test_T16_other_bytes_under_the_base_engines_key_are_not_taken_for_it(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    for receipt in (machine.folder / ".trt-cache").rglob("receipt*/engine/**/*.json"):
        receipt.unlink()
    machine.run(more=TIMED)
    report = machine.run_change(level=2, more=TIMED)
    assert details_of(report)["change"]["basis"] == "stored"
    assert any("it is not in the cache any more" in text for text in job_of(report)["warnings"])


def test_the_engine_of_another_runtime_version_is_not_run(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    machine.version = "10.13.3"
    report = machine.run_change(level=2, more=TIMED)
    assert details_of(report)["change"]["basis"] == "stored"
    assert any("runtime.version 8.6.0 -> 10.13.3" in text for text in job_of(report)["warnings"])


def test_a_comparison_that_fails_judges_nothing(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    machine.fails = BuildError("the child was killed")
    report = machine.run_change(level=2, more=TIMED)
    assert (report["returncode"], details_of(report)["change"]["basis"]) == (0, "stored")
    assert any("the child was killed" in text for text in job_of(report)["warnings"])


def test_a_comparison_whose_children_answer_nonsense_judges_nothing(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    machine.samples = False
    report = machine.run_change(level=2, more=TIMED)
    assert (report["returncode"], details_of(report)["change"]["basis"]) == (0, "stored")
    assert any("an answer that cannot be used" in text for text in job_of(report)["warnings"])


def test_a_base_engine_with_other_inputs_is_not_timed(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    machine.inputs = ("image", "mask")
    report = machine.run_change(level=2, more=TIMED)
    assert details_of(report)["change"]["basis"] == "stored"
    assert any("it takes other inputs" in text for text in job_of(report)["warnings"])


STRIPPED = "strip_weights: true"


@pytest.fixture
def stripping(machine: FakeMachine) -> FakeMachine:
    """A machine whose base branch keeps its engine without weights."""
    machine.version = "10.16.1"
    machine.run_main(more=TIMED, build=STRIPPED)
    return machine


def timed_weights(machine: FakeMachine) -> set[bytes]:
    """The models whose weights the engines that were timed in turn were given; empty for one built with them."""
    return {data.partition(b", with the weights of ")[2] for data in machine.timed_bytes}


def test_engines_without_weights_are_timed_in_turn_with_those_of_their_own_models(stripping: FakeMachine) -> None:
    stripping.model = b"another model"
    report = stripping.run_change(level=4, more=TIMED, build=STRIPPED)
    assert details_of(report)["change"]["basis"] == "paired"
    assert timed_weights(stripping) == {b"typed a model", b"typed another model"}


def test_a_change_that_begins_to_leave_the_weights_out_is_compared(machine: FakeMachine) -> None:
    machine.version = "10.16.1"
    machine.run_main(more=TIMED)
    report = machine.run_change(more=TIMED, build=STRIPPED)
    assert details_of(report)["change"]["basis"] == "paired"
    assert timed_weights(machine) == {b"", b"typed a model"}


def test_a_change_that_no_longer_leaves_the_weights_out_is_compared(stripping: FakeMachine) -> None:
    report = stripping.run_change(more=TIMED)
    assert details_of(report)["change"]["basis"] == "paired"
    assert timed_weights(stripping) == {b"", b"typed a model"}


def test_layers_of_a_base_engine_that_are_not_known_are_learned_with_its_own_weights(stripping: FakeMachine) -> None:
    for receipt in (stripping.folder / ".trt-cache").rglob("receipt*/layers/**/*.json"):
        receipt.unlink()
    report = stripping.run_change(level=2, more=TIMED, build=STRIPPED)
    assert len(details_of(report)["cause"]) > 0


def test_a_base_engine_whose_weights_are_gone_is_not_timed_and_it_is_said(stripping: FakeMachine) -> None:
    for receipt in (stripping.folder / ".trt-cache").rglob("receipt*/prepared/**/*.json"):
        receipt.unlink()
    stripping.model = b"another model"
    report = stripping.run_change(level=2, more=TIMED, build=STRIPPED)
    assert details_of(report)["change"]["basis"] == "stored"
    assert any("the model that has them is not in the cache" in text for text in job_of(report)["warnings"])


def test_a_run_that_is_held_against_nothing_has_no_change(machine: FakeMachine) -> None:
    report = machine.run(more=TIMED)
    assert report["details"]["base"] == ""
    assert report["details"]["jobs"] == []


def test_a_pull_request_leaves_no_baseline(machine: FakeMachine) -> None:
    machine.run_main()
    machine.run_change(level=2)
    assert machine.run_change(level=1)["details"]["jobs"][0]["change"]["basis"] == "same-engine"


def test_the_branchs_own_runs_give_a_trend(machine: FakeMachine) -> None:
    machine.run_main()
    report = machine.run_main(level=2, TRT_ENGINE_COMMIT="b" * 40)
    assert len(details_of(report)["history"]) == 2
    assert details_of(report)["change"] is None
    assert len(details_of(machine.run_change(level=3))["history"]) == 2


ACCURACY = "accuracy: {{data: evaluation.npz, tolerances: {{cosine: {}}}}}"


def test_T16_a_change_that_loosens_its_own_tolerance_is_judged_by_the_base_branchs(machine: FakeMachine) -> None:
    machine.run_main(more=ACCURACY.format(0.95))
    machine.cosine = 0.9
    report = machine.run_change(level=2, more=ACCURACY.format(0.5))
    assert report["returncode"] == 7
    (gate,) = report["details"]["changed_gates"]
    assert (gate["gate"], gate["base"], gate["head"], gate["held"]) == ("accuracy.tolerances.cosine", 0.95, 0.5, True)
    assert "Loosened by this change" in (machine.folder / "engines/report.md").read_text()


def test_T16_a_tolerance_loosened_after_a_failure_does_not_pass_the_cached_engine(machine: FakeMachine) -> None:
    machine.run_main(more=ACCURACY.format(0.95))
    machine.cosine = 0.9
    assert machine.run_change(level=2, more=ACCURACY.format(0.95))["returncode"] == 7
    again = machine.run_change(level=2, more=ACCURACY.format(0.5))
    assert (again["returncode"], machine.tasks["build"]) == (7, 2)


@pytest.mark.parametrize("loosened", ["budgets: {regression_percent: 50}", ""])
def test_T16_a_change_that_loosens_its_own_budget_is_judged_by_the_base_branchs(
    loosened: str, machine: FakeMachine
) -> None:
    machine.run_main(more=TIMED)
    report = machine.run_change(level=2, more=f"{BENCHMARK}\n    {loosened}")
    assert report["returncode"] == 8
    assert [gate["gate"] for gate in report["details"]["changed_gates"]] == ["budgets.regression_percent"]


def test_T16_what_the_cache_settles_is_judged_by_the_base_branchs_tolerance_too(machine: FakeMachine) -> None:
    machine.run_main(more=ACCURACY.format(0.95))
    machine.cosine = 0.9
    machine.run_change(level=2, more=ACCURACY.format(0.95))
    report = machine.plan_change(level=2, more=ACCURACY.format(0.5))
    assert (job_of(report)["failure"]["exit_code"], report["exit_code"]) == (7, 7)
    assert [gate["held"] for gate in report["details"]["changed_gates"]] == [True]


def test_a_comparison_that_is_cached_is_settled_without_a_gpu(machine: FakeMachine) -> None:
    machine.run_main(more=TIMED)
    run = machine.run_change(level=2, more=TIMED)
    settled = machine.plan_change(level=2, more=TIMED)
    assert details_of(settled)["change"] == details_of(run)["change"]
    assert settled["exit_code"] == 8


def test_an_engine_that_was_never_compared_is_for_a_runner(
    machine: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.run_change(level=2, more=TIMED)
    machine.run_main(more=TIMED)
    planned = machine.plan_change(level=2, more=TIMED)
    assert "its engine is cached, but comparison of digits/h200/fp16 is not cached" in capsys.readouterr().err
    assert "jobs" not in planned, "the report of the run before is taken for the plan's"


def test_a_branch_that_loosens_a_limit_and_builds_nothing_leaves_the_new_one(machine: FakeMachine) -> None:
    machine.run_main(more=ACCURACY.format(0.95))
    machine.has_gpu = False
    machine.run_main(more=ACCURACY.format(0.5), command=PLAN)
    assert machine.plan_change(more=ACCURACY.format(0.5))["details"]["changed_gates"] == []


def test_T16_a_shorter_benchmark_is_named_for_a_person_to_decide(machine: FakeMachine) -> None:
    machine.run_main(more="benchmark: {duration_s: 4}")
    report = machine.run_change(more="benchmark: {duration_s: 1}")
    (gate,) = report["details"]["changed_gates"]
    assert (gate["gate"], gate["held"]) == ("benchmark.duration_s", False)


def test_T16_a_job_that_is_gone_is_named(machine: FakeMachine) -> None:
    machine.run_main(precisions="fp16, fp32")
    report = machine.run_change()
    assert [(gate["job"], gate["gate"]) for gate in report["details"]["changed_gates"]] == [("digits/h200/fp32", "job")]


def test_what_the_cache_saved_and_what_was_spent_on_the_gpu_is_told(machine: FakeMachine) -> None:
    first = machine.run_main()["details"]
    again = machine.run_main()["details"]
    assert first["gpu_spent_s"] > 0
    assert first["gpu_saved_s"] == 0
    assert again["gpu_spent_s"] == 0
