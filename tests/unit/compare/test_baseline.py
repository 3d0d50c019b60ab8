from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.compare.baseline import (
    HISTORY,
    BaselineError,
    Figures,
    JobBaseline,
    baseline_from_job,
    baseline_from_json,
    baseline_to_json,
    continued,
)
from pipeline.compare.samples import Samples
from pipeline.publish.job_report import FailureReport, SpeedReport, Status
from tests.support.baselines import job_baseline, run_name
from tests.support.goldens import GOLDENS
from tests.support.reports import accuracy_report, engine_report, job_report, measurement

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[3] / "schemas/baseline.schema.json").read_text())


def test_reading_a_baseline_is_the_inverse_of_writing_it() -> None:
    assert baseline_from_json(json.loads(json.dumps(baseline_to_json(job_baseline())))) == job_baseline()


def test_baselines_of_version_1_stay_readable() -> None:
    """The file was written once and never changes: default branches hold such baselines."""
    stored = json.loads((GOLDENS / "baseline/v1.json").read_text())
    assert baseline_from_json(stored) == job_baseline()


def test_a_baseline_fits_its_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(baseline_to_json(job_baseline()))


@pytest.mark.parametrize("part", ["run", "figures", "samples", "gate", "past_run", ""])
def test_the_schema_names_exactly_the_fields_of_each_record(part: str) -> None:
    schema = SCHEMA["$defs"][part] if part else SCHEMA
    hints = typing.get_type_hints(JobBaseline)
    kinds = {
        "run": hints["run"],
        "figures": hints["figures"],
        "samples": Samples,
        "gate": typing.get_args(hints["gates"])[0],
        "past_run": typing.get_args(hints["history"])[0],
        "": JobBaseline,
    }
    names = [field.name for field in dataclasses.fields(kinds[part])]
    assert list(schema["properties"]) == ([] if part else ["schema_version"]) + names
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "damage",
    [
        {"schema_version": 2},
        {"schema_version": True},
        {"schema_version": None},
        {"job": 1},
        {"unknown": 1},
        {"engine_key": "sha256:no"},
        {"samples": {"count": 1, "quantiles_ms": []}},
        {"samples": {"count": 1, "quantiles_ms": [-1.0]}},
    ],
    ids=repr,
)
def test_what_is_no_baseline_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(BaselineError):
        baseline_from_json(baseline_to_json(job_baseline()) | damage)


@pytest.mark.parametrize("value", [None, [], "text", {}], ids=repr)
def test_what_is_no_object_of_a_version_is_refused(value: Any) -> None:
    with pytest.raises(BaselineError):
        baseline_from_json(value)


def test_a_baseline_is_made_from_a_job() -> None:
    job = job_report(
        "digits/h200/fp16",
        Status.BUILT,
        "",
        build_s=3.0,
        engine=engine_report(),
        accuracy=accuracy_report(),
        speed=SpeedReport(engine=measurement(0.5)),
    )
    baseline = baseline_from_job(job, run_name(), ())
    assert baseline is not None
    assert baseline.figures == Figures(
        engine_size_bytes=1_300_000,
        build_s=3.0,
        latency_p50_ms=0.5,
        latency_p99_ms=measurement(0.5).compute.p99_ms,
        throughput_per_s=3000.0,
        memory_bytes=8 << 20,
        top1_percent=98.61,
        cosine_min=0.99912,
    )
    assert (baseline.gpu, baseline.samples) == ("NVIDIA H200", Samples(count=1, quantiles_ms=(0.5,)))
    assert [past.figures for past in baseline.history] == [baseline.figures]


def test_a_cached_job_remembers_its_last_build() -> None:
    job = job_report("digits/h200/fp16", Status.CACHED, "", previous_build_s=7.0, engine=engine_report())
    baseline = baseline_from_job(job, run_name(), ())
    assert baseline is not None
    assert baseline.figures.build_s == 7.0


def test_a_cosine_that_is_not_finite_is_none() -> None:
    job = job_report("a/b/fp16", Status.BUILT, "", engine=engine_report(), accuracy=accuracy_report(cosine_min=None))
    baseline = baseline_from_job(job, run_name(), ())
    assert baseline is not None
    assert baseline.figures.cosine_min is None


def test_a_job_without_a_fit_engine_leaves_no_baseline() -> None:
    waiting = job_report("a/b/fp16", Status.NEEDS_RUNNER, "")
    failure = FailureReport(kind="accuracy", exit_code=7, what="not accurate")
    failed = job_report("a/b/fp16", Status.FAILED, "", engine=engine_report(), failure=failure)
    assert baseline_from_job(waiting, run_name(), ()) is None
    assert baseline_from_job(failed, run_name(), ()) is None


def test_the_first_baseline_stands_as_it_is() -> None:
    assert continued(None, job_baseline()) == job_baseline()


def test_a_new_run_continues_the_history() -> None:
    after = continued(job_baseline(1), job_baseline(2))
    assert after.run == run_name(2)
    assert [past.run for past in after.history] == [run_name(1), run_name(2)]


def test_an_older_run_that_ends_later_only_joins_the_history() -> None:
    after = continued(job_baseline(3), job_baseline(2))
    assert after.run == run_name(3)
    assert [past.run for past in after.history] == [run_name(2), run_name(3)]


def test_a_run_that_is_repeated_counts_once_and_its_last_result_stands() -> None:
    again = job_baseline(1, gpu="another")
    after = continued(job_baseline(1), again)
    assert (after.gpu, len(after.history)) == ("another", 1)


def test_the_history_forgets_the_oldest() -> None:
    first = job_baseline(1)
    runs = [replace(first.history[0], run=run_name(day)) for day in range(1, 31)]
    after = continued(job_baseline(30, history=tuple(runs)), job_baseline(31))
    assert [past.run for past in after.history] == [run_name(day) for day in range(2, 32)]
    assert len(after.history) == HISTORY
