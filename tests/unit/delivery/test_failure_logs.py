from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.delivery.failure_logs import logs_from_outcomes
from pipeline.errors import AccuracyError, BuildError, ModelError, PipelineError
from pipeline.outcome.job import JobOutcome
from pipeline.planning.plan import PlannedJob, State
from tests.support.specs import job

if TYPE_CHECKING:
    from pathlib import Path

PLANNED = PlannedJob(job(), State.BUILD, "never built before")
ID = PLANNED.job.id


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The builder's log of the job, of this run or an earlier one."""
    path = tmp_path / "logs" / ID / "engine.log"
    path.parent.mkdir(parents=True)
    path.write_text("first\nlast\n")
    return path


def outcome(error: PipelineError | None, log: Path | None = None) -> tuple[JobOutcome, ...]:
    if error is not None:
        error.log = log
    return (JobOutcome(planned=PLANNED, error=error),)


def test_a_failed_task_is_shown_with_its_log(log: Path, tmp_path: Path) -> None:
    found = logs_from_outcomes(tmp_path, outcome(BuildError("it crashed"), log))
    assert (found[ID].path, found[ID].tail) == (f"logs/{ID}/engine.log", ("first", "last"))


def test_the_log_is_that_of_the_task_that_failed(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "logs/digits/fp16/prepared.log"
    other.parent.mkdir(parents=True)
    other.write_text("why\n")
    found = logs_from_outcomes(tmp_path, outcome(BuildError("it crashed"), other))
    assert (found[ID].path, found[ID].tail) == ("logs/digits/fp16/prepared.log", ("why",))


@pytest.mark.parametrize("error", [AccuracyError("cosine is 0.1"), BuildError("no time was left"), None])
def test_where_no_task_failed_the_log_of_a_build_that_went_well_is_not_shown(
    error: PipelineError | None, log: Path, tmp_path: Path
) -> None:
    assert logs_from_outcomes(tmp_path, outcome(error)) == {}


def test_what_is_wrong_with_a_model_or_its_data_is_told_without_a_log(log: Path, tmp_path: Path) -> None:
    assert logs_from_outcomes(tmp_path, outcome(ModelError("array 'image' is float64"), log)) == {}


def test_a_log_that_is_not_there_or_lies_elsewhere_is_left_out(log: Path, tmp_path: Path) -> None:
    assert logs_from_outcomes(tmp_path, outcome(BuildError("it crashed"), tmp_path / "logs/none.log")) == {}
    assert logs_from_outcomes(tmp_path / "other", outcome(BuildError("it crashed"), log)) == {}
