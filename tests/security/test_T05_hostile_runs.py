"""T5, F24, F26: a child that goes wrong costs its own job, with its reason, and nothing of the others."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pipeline import run
from pipeline.child.supervisor import run_task
from pipeline.child.tasks import TASKS
from pipeline.commands.cli import main
from tests.support.digits import copy_of_example, digits_manifest

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = digits_manifest(precision="fp32", compute_capabilities=("8.6", "8.9"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("crash", "crashed: SIGABRT"),
        ("point outside", "must be a relative path below"),
        ("answer a number", "cannot be used: "),
        ("answer nothing", "build_s: is missing"),
        ("write no engine", "No such file"),
        ("lie", "64 bytes"),
    ],
)
def test_T05_F24_F26_the_other_job_is_built(
    wrong: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_of_example(tmp_path, "model.onnx")
    (tmp_path / "trt-engines.yaml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", wrong)
    tasks = {**TASKS, "build": "tests.support.hostile_tasks:build_or_attack"}
    monkeypatch.setattr(run, "run_task", partial(run_task, _tasks=tasks))
    assert main(["run"], {}) == 6
    hostile, honest = json.loads((tmp_path / "engines/report.json").read_text())["jobs"]
    assert (hostile["status"], honest["status"]) == ("failed", "built")
    assert says in "{what}: {why}".format_map(hostile["failure"])
    assert [path.name for path in (tmp_path / "engines").rglob("*.engine")] == ["fp32.engine"]
    assert "Traceback" not in capsys.readouterr().err
