"""Whole runs of a retrained model, on a machine whose children are functions: what is said of the refit, and where."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.commands.cli import main
from pipeline.errors import BuildError, Cancelled
from pipeline.hosts.place import HostKind, Place
from pipeline.hosts.publication import comment_body
from pipeline.hosts.sticky import Sticky
from pipeline.publish.parts import read_parts
from tests.support.fake_gpu_machine import FakeMachine

if TYPE_CHECKING:
    from pathlib import Path

ACCURACY = "accuracy: {data: evaluation.npz, tolerances: {cosine: 0.95}}"
PLACE = Place(
    kind=HostKind.GITHUB,
    api_url="https://api.github.com",
    project="acme/models",
    number=7,
    commit="c" * 40,
    run_url="",
    fork=False,
    token=None,
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """A machine that has built the engine of a model, which was trained again since."""
    machine = FakeMachine(tmp_path).install(monkeypatch)
    machine.run(more=ACCURACY)
    machine.model = b"trained again"
    return machine


def job_of(report: dict[str, Any]) -> dict[str, Any]:
    (found,) = report["jobs"]
    return dict(found)


def test_the_main_job_refits_and_the_report_says_what_that_saved(machine: FakeMachine) -> None:
    job = job_of(machine.run(more=ACCURACY))
    assert machine.tasks["build"] == 1
    assert job["reason"].startswith("refitted in 0.")
    assert " instead of about 0." in job["reason"]
    assert (job["refit"]["refit_s"], job["refit"]["weights"]) == (0.4, 2)


def test_the_plan_says_before_what_it_will_save(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> None:
    (machine.folder / "model.onnx").write_bytes(machine.model)
    capsys.readouterr()
    assert main(["plan"], {"COLUMNS": "400"}) == 0
    assert "to be refitted instead of built in about 0." in capsys.readouterr().out
    assert machine.tasks["refit"] == 0


def test_the_comment_on_the_pull_request_says_what_it_saved(machine: FakeMachine) -> None:
    machine.run(more=ACCURACY)
    body = comment_body(read_parts(machine.folder / "engines"), PLACE, Sticky("trt-engines.yaml"), 65_536)
    assert "refitted in 0." in body
    assert " instead of about 0." in body


def test_provenance_and_sidecar_of_the_delivered_engine_name_the_one_that_it_came_from(machine: FakeMachine) -> None:
    job = job_of(machine.run(more=ACCURACY))
    delivered = machine.folder / "engines" / job["engine"]["path"]
    sidecar = json.loads(delivered.with_suffix(".json").read_text())
    statement = json.loads(delivered.with_suffix(".provenance.json").read_text())
    (origin,) = [
        each
        for each in statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        if each["annotations"]["role"] == "refitted-engine"
    ]
    assert sidecar["refitted_from"] == job["refit"]["origin"]
    assert origin["uri"] == f"urn:tensorrt-engine-action:engine:{job['refit']['origin']}"


def test_the_engine_passes_verify_with_its_origin(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> None:
    job = job_of(machine.run(more=ACCURACY))
    capsys.readouterr()
    assert main(["verify", str(machine.folder / "engines" / job["engine"]["path"]), "--json"], {}) == 0
    checks = json.loads(capsys.readouterr().out)["engines"][0]["checks"]
    assert [each["state"] for each in checks if each["name"].startswith("refitted-engine")] == ["passed"]


def test_a_refitted_engine_that_misses_its_tolerance_is_built_in_the_same_run(machine: FakeMachine) -> None:
    machine.cosine = 0.5
    report = machine.run(more=ACCURACY)
    assert (machine.tasks["refit"], machine.tasks["build"]) == (1, 2)
    assert any("the engine was refitted, and did not pass" in text for text in job_of(report)["warnings"])


def test_the_plan_of_a_fan_out_says_what_its_runner_will_save(
    machine: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine.folder / "model.onnx").write_bytes(machine.model)
    capsys.readouterr()
    machine.has_gpu = False
    assert main(["plan", "--matrix", "github"], {}) == 0
    assert "digits/h200/fp16: to be refitted instead of built in about 0." in capsys.readouterr().err


@pytest.mark.parametrize("fetch", ["engines", "none"])
def test_a_cached_engine_of_a_refit_that_is_now_judged_unfit_is_built_and_not_refitted_again(
    machine: FakeMachine, fetch: str
) -> None:
    machine.cosine = 0.5
    machine.run(more=ACCURACY.replace("0.95", "0.4"))
    assert (machine.tasks["refit"], machine.tasks["build"]) == (1, 1)
    machine.cosine = 0.99
    report = machine.run(more=ACCURACY, TRT_ENGINE_FETCH=fetch)
    assert (machine.tasks["refit"], machine.tasks["build"]) == (1, 2)
    assert job_of(report)["status"] == "built"


def forms_of(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What a run of the retrained model says in each form, on lines of any length, as one line without markup."""
    capsys.readouterr()
    machine.run(more=ACCURACY, COLUMNS="400")
    said = {"terminal": capsys.readouterr().out}
    for name in ("report.md", "report.html", "report.json"):
        said[name] = (machine.folder / "engines" / name).read_text()
    return {name: html.unescape(re.sub(r"[\\`]|<[^>]*>", "", text)) for name, text in said.items()}


def test_every_form_says_what_the_refit_saved(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> None:
    told = re.compile(r"refitted in 0\.\d+ s instead of about 0\.\d+ s")
    assert [name for name, text in forms_of(machine, capsys).items() if not told.search(text)] == []


def test_every_form_says_why_a_retrained_model_was_built(
    machine: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.refused = BuildError("TensorRT cannot replace every weight that changed", why="it folded 'b1'")
    said = forms_of(machine, capsys)
    told = "not made by refitting: TensorRT cannot replace every weight that changed: it folded 'b1'"
    assert [name for name, text in said.items() if told not in text] == []
    assert machine.tasks["build"] == 2


@pytest.mark.parametrize("fetch", ["engines", "none"])
@pytest.mark.parametrize("cosine", [0.99, 0.5])
def test_a_run_that_died_before_the_verification_leaves_it_to_the_next(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, fetch: str, cosine: float
) -> None:
    def killed() -> dict[str, Any]:
        raise Cancelled("killed")

    with monkeypatch.context() as patch:
        patch.setattr(machine, "_verified", killed)
        assert machine.run(more=ACCURACY)["returncode"] == 130
    before, machine.cosine = machine.tasks["verify-engine"], cosine
    job = job_of(machine.run(more=ACCURACY, TRT_ENGINE_FETCH=fetch))
    passes = cosine > 0.95
    assert machine.tasks["refit"] == 1
    assert machine.tasks["verify-engine"] == before + (1 if passes else 2)
    assert machine.tasks["build"] == (1 if passes else 2)
    assert job["accuracy"]["verdicts"][0]["measured"] == cosine


def test_every_refit_is_verified(machine: FakeMachine) -> None:
    machine.run(more=ACCURACY)
    machine.model = b"trained once more"
    machine.run(more=ACCURACY)
    assert (machine.tasks["build"], machine.tasks["refit"], machine.tasks["verify-engine"]) == (1, 2, 3)
