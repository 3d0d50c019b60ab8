"""What a run leaves in its output folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.artefacts.recipe import Artefact
from pipeline.cache.answers import Miss
from pipeline.cache.receipt import Blob
from pipeline.delivery.deliver import deliver_engine, deliver_report, engine_path, forget_report
from pipeline.digest import digest_from_bytes
from pipeline.errors import AccuracyError, BuildError, PublishError
from pipeline.keys import key_from_ingredients
from pipeline.manifest.types import Calibration, Location
from pipeline.outcome.job import JobOutcome
from pipeline.planning.plan import Job, PlannedJob, State, needs_runner
from pipeline.planning.survey import SurveyedModel, survey_models
from pipeline.precision import Precision
from pipeline.provenance.statement import PROVENANCE_FILE
from pipeline.publish.details import Details, details_from_json
from pipeline.publish.parts import read_parts
from pipeline.recipes.model import Recipes
from tests.support.answers import TABLE
from tests.support.details import sample_details
from tests.support.reports import sample_report
from tests.support.specs import H200, SM_89, model_spec
from tests.support.workshops import FACTS, IMAGE, workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping

ENGINE_SCHEMA = Path(__file__).parents[3] / "schemas/engine.schema.json"
TOOLS = {"onnx": "1.23.2", "onnxruntime": "1.31.1", "numpy": "2.4.6"}


@dataclass(frozen=True)
class Bench:
    """A surveyed model with calibration data, an engine made of it, and an output folder."""

    out: Path
    model: SurveyedModel
    recipes: Recipes
    engine: Artefact

    def outcome(self, precision: Precision = Precision.FP16, **parts: Any) -> JobOutcome:
        planned = PlannedJob(Job(self.model.spec, SM_89, precision), State.BUILD, "never built before")
        return replace(JobOutcome(planned=planned, engine=self.engine), **parts)

    def deliver(self, outcome: JobOutcome) -> Any:
        return deliver_engine(self.out, outcome, self.model, self.recipes)

    def sidecar(self, precision: str = "fp16") -> dict[str, Any]:
        text = (self.out / f"digits/sm_89/{precision}.json").read_text()
        found: dict[str, Any] = json.loads(text)
        return found


def child(_task: str, _request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    for name in ("t.table", "t.json"):
        (folder / name).write_text(TABLE)
    return FACTS | {"table": "t.table", "json": "t.json", "tensors": 1}


def bench_in(folder: Path, run: str = "a") -> Bench:
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "cal.npy").write_bytes(b"data")
    (folder / "engine.plan").write_bytes(b"plan")
    workshop = workshop_with(child, folder, run)
    calibration = Calibration(data=folder / "cal.npy", location=Location("m.yaml", 1, 1))
    (model,) = survey_models([model_spec(folder, calibration=calibration)], workshop, TOOLS)
    engine = Artefact(
        key=key_from_ingredients("engine", {"model": "m"}),
        files={"engine.plan": folder / "engine.plan"},
        outcome={"engine": "engine.plan", "inputs": [IMAGE], "outputs": [], "runtime_version": "1.7.1.116"},
        cached=False,
        lookup=Miss("never built before"),
        made_in_s=1.0,
    )
    recipes = Recipes(workshop=workshop, tools=TOOLS, runtimes={"tensorrt-rtx": "1.7.1.116"})
    return Bench(out=folder / "out", model=model, recipes=recipes, engine=engine)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return bench_in(tmp_path)


def test_an_engine_lies_under_its_model_target_and_precision(bench: Bench) -> None:
    outcome = bench.outcome()
    report = bench.deliver(outcome)
    assert engine_path(outcome.planned.job) == report.path == "digits/sm_89/fp16.engine"
    assert (bench.out / report.path).read_bytes() == b"plan"


def test_report_and_sidecar_name_the_bytes_that_were_written(bench: Bench) -> None:
    report = bench.deliver(bench.outcome())
    assert report.digest == digest_from_bytes(b"plan")
    assert bench.sidecar()["engine_digest"] == str(report.digest)
    assert bench.sidecar()["engine_size_bytes"] == report.size_bytes == 4


def test_a_sidecar_is_what_its_schema_describes(bench: Bench) -> None:
    bench.deliver(bench.outcome())
    Draft202012Validator(json.loads(ENGINE_SCHEMA.read_text())).validate(bench.sidecar())


def test_nothing_but_the_engine_and_its_sidecar_is_written(bench: Bench) -> None:
    bench.deliver(bench.outcome())
    names = sorted(path.relative_to(bench.out).as_posix() for path in bench.out.rglob("*") if path.is_file())
    assert names == ["digits/sm_89/fp16.engine", "digits/sm_89/fp16.json"]


def with_statement(bench: Bench) -> Bench:
    (bench.out.parent / PROVENANCE_FILE).write_bytes(b"said")
    files = {**bench.engine.files, PROVENANCE_FILE: bench.out.parent / PROVENANCE_FILE}
    return replace(bench, engine=replace(bench.engine, files=files))


def test_the_statement_about_an_engine_lies_beside_it(bench: Bench) -> None:
    stated = with_statement(bench)
    stated.deliver(stated.outcome())
    assert (bench.out / "digits/sm_89/fp16.provenance.json").read_bytes() == b"said"


def test_an_engine_without_a_statement_does_not_keep_that_of_another(bench: Bench) -> None:
    stated = with_statement(bench)
    stated.deliver(stated.outcome())
    bench.deliver(bench.outcome())
    assert not (bench.out / "digits/sm_89/fp16.provenance.json").exists()


def test_a_failed_job_leaves_no_statement(bench: Bench) -> None:
    stated = with_statement(bench)
    stated.deliver(stated.outcome())
    bench.deliver(bench.outcome(error=AccuracyError("missed")))
    assert not list(bench.out.rglob("*.provenance.json"))


def test_the_sidecar_names_the_calibration_table_that_this_run_made(bench: Bench) -> None:
    bench.recipes.workshop.obtain(bench.recipes.calibration(bench.model))
    bench.deliver(bench.outcome(Precision.INT8))
    assert bench.sidecar("int8")["calibration_table_digest"] == str(digest_from_bytes(TABLE.encode()))


def test_the_sidecar_names_the_calibration_table_of_an_earlier_run(bench: Bench, tmp_path: Path) -> None:
    bench.recipes.workshop.obtain(bench.recipes.calibration(bench.model))
    later = bench_in(tmp_path, "b")
    later.deliver(later.outcome(Precision.INT8))
    assert later.sidecar("int8")["calibration_table_digest"] == str(digest_from_bytes(TABLE.encode()))


def test_a_precision_that_needs_no_table_names_none(bench: Bench) -> None:
    bench.recipes.workshop.obtain(bench.recipes.calibration(bench.model))
    bench.deliver(bench.outcome(Precision.FP16))
    assert bench.sidecar()["calibration_table_digest"] is None


@pytest.mark.parametrize(
    "outcome",
    [{"engine": None, "error": BuildError("refused")}, {"error": AccuracyError("missed")}],
    ids=["no engine", "an engine judged unfit"],
)
def test_a_failed_job_leaves_no_engine_of_an_earlier_run(bench: Bench, outcome: dict[str, Any]) -> None:
    bench.deliver(bench.outcome())
    assert bench.deliver(bench.outcome(**outcome)) is None
    assert not [path for path in bench.out.rglob("*") if path.is_file()]


def test_a_job_for_another_machine_leaves_what_was_brought_from_there(bench: Bench) -> None:
    brought = bench.out / "digits/h200/fp16.engine"
    brought.parent.mkdir(parents=True)
    brought.write_bytes(b"brought")
    planned = needs_runner(Job(bench.model.spec, H200, Precision.FP16), "needs a runner with H200")
    assert bench.deliver(JobOutcome(planned=planned)) is None
    assert brought.read_bytes() == b"brought"


def test_an_engine_that_cannot_be_written_is_an_error_of_the_system(bench: Bench) -> None:
    bench.out.write_text("a file in the way")
    with pytest.raises(OSError, match="out"):
        bench.deliver(bench.outcome())


def test_a_report_is_written_for_programs_and_for_people(tmp_path: Path) -> None:
    deliver_report(tmp_path, sample_report())
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "failed"
    assert "digits/sm_89/fp32" in (tmp_path / "report.md").read_text()
    assert "digits/sm_89/fp32" in (tmp_path / "report.html").read_text()


def test_a_report_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file in the way")
    with pytest.raises(PublishError, match="out"):
        deliver_report(tmp_path / "out", sample_report())


def test_details_lie_beside_the_report_while_anything_is_known(tmp_path: Path) -> None:
    deliver_report(tmp_path, sample_report(), sample_details())
    assert details_from_json(json.loads((tmp_path / "report-details.json").read_text())) == sample_details()
    assert "Against main at 1234abc" in (tmp_path / "report.md").read_text()
    assert "Latency against main at 1234abc" in (tmp_path / "report.html").read_text()
    deliver_report(tmp_path, sample_report(), Details())
    assert not (tmp_path / "report-details.json").exists()


def test_the_commit_alone_is_kept_for_whoever_does_a_job_again(tmp_path: Path) -> None:
    deliver_report(tmp_path, sample_report(), Details(commit="c0ffee"))
    assert read_parts(tmp_path).details == Details(commit="c0ffee")
    assert "git checkout c0ffee && docker run" in (tmp_path / "report.md").read_text()


def kept(bench: Bench, data: bytes = b"plan") -> Artefact:
    blob = Blob("engine.plan", digest_from_bytes(data), len(data))
    return replace(bench.engine, files={}, blobs={"engine.plan": blob}, cached=True)


def test_an_engine_that_was_left_in_the_cache_is_reported_without_a_path(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    report = bench.deliver(bench.outcome(engine=kept(bench)))

    assert report.path is None
    assert (report.size_bytes, report.digest) == (4, digest_from_bytes(b"plan"))
    assert list(bench.out.rglob("*")) == []


def test_an_engine_that_an_earlier_run_wrote_is_kept_where_it_is_the_one_in_the_cache(tmp_path: Path) -> None:
    bench = bench_in(tmp_path)
    bench.deliver(bench.outcome())

    assert bench.deliver(bench.outcome(engine=kept(bench))).path == "digits/sm_89/fp16.engine"
    assert len(list((bench.out / "digits/sm_89").iterdir())) == 2
    assert bench.deliver(bench.outcome(engine=kept(bench, b"nalp"))).path is None
    assert list((bench.out / "digits/sm_89").iterdir()) == []


def test_what_a_killed_run_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    abandoned = [tmp_path / ".report.json.0123456789ab.tmp", tmp_path / "digits/sm_89/.fp16.engine.0123456789ab.tmp"]
    others = [tmp_path / "digits/sm_89/fp16.engine", tmp_path / "notes.tmp", tmp_path / ".notes.tmp"]
    fresh = tmp_path / ".report.md.0123456789ab.tmp"
    (tmp_path / "digits/sm_89").mkdir(parents=True)
    for path in (*abandoned, *others, fresh):
        path.touch()
    for path in (*abandoned, *others):
        os.utime(path, (1.0, 1.0))
    forget_report(tmp_path)
    assert not any(path.exists() for path in abandoned)
    assert all(path.exists() for path in (*others, fresh))
