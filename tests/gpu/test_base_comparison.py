"""A pull request's engine against the base branch's, on a real GPU."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gpu_runs import EXAMPLE, capability, entrypoint

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(1200)

MANIFEST = """
version: 1
models:
  - name: digits
    onnx: {model}
    profiles:
      - image: {{min: [1, 1, 8, 8], opt: [8, 1, 8, 8], max: [32, 1, 8, 8]}}
    targets: [{{compute_capability: "{capability}"}}]
    precisions: [fp32]
    build:
      optimization_level: {level}
      workspace_mib: {workspace_mib}
      min_precision_share: 0
      tactic_sources: [edge-mask-convolutions, jit-convolutions]
    benchmark: {{duration_s: 1, warmup_s: 0.5}}
    budgets: {{regression_percent: {budget_percent}}}
"""
MAIN = {"TRT_ENGINE_CACHE_SCOPE": "trusted", "TRT_ENGINE_BRANCH": "main", "TRT_ENGINE_COMMIT": "a" * 40}
CHANGE = {"TRT_ENGINE_CACHE_SCOPE": "pr/42/7", "TRT_ENGINE_BASE_BRANCH": "main"}
LONGEST_S = 590
"""Of a run on a noisy GPU: 96 processes of up to 6 s each."""


def run(folder: Path, environment: dict[str, str], **parts: Any) -> dict[str, Any]:
    """Run the main job; its report with ``returncode`` and the job's ``details``."""
    given = {"model": "model.onnx", "level": 1, "workspace_mib": 512, "budget_percent": 3} | parts
    (folder / "digits/base.yaml").write_text(MANIFEST.format(capability=capability(), **given))
    arguments = ("run", "--manifest", "digits/base.yaml")
    result = entrypoint(folder, *arguments, timeout_s=LONGEST_S, TRT_ENGINE_REPOSITORY="acme/models", **environment)
    print(result.stdout, result.stderr)
    report: dict[str, Any] = json.loads((folder / "engines/report.json").read_text())
    details = json.loads((folder / "engines/report-details.json").read_text())
    return report | {"returncode": result.returncode, "details": details, "comparing": "comparing" in result.stderr}


def change_of(report: dict[str, Any]) -> dict[str, Any]:
    (details,) = report["details"]["jobs"]
    change: dict[str, Any] = details["change"]
    return change


def deeper_model(source: Path, destination: Path, convolutions: int = 12) -> None:
    """The model with so many more convolutions before it, which change its input a little and fuse with nothing."""
    import numpy as np
    import onnx

    model = onnx.load(source)
    name = "image"
    kernel = np.full((1, 1, 3, 3), 0.001, np.float32)
    kernel[0, 0, 1, 1] = 1.0
    model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "more/kernel"))
    last = f"more/{convolutions - 1}"
    for node in model.graph.node:
        node.input[:] = [last if each == name else each for each in node.input]
    for number in reversed(range(convolutions)):
        before = f"more/{number - 1}" if number else name
        parts = onnx.helper.make_node(
            "Conv", [before, "more/kernel"], [f"more/{number}"], name=f"/more/{number}/Conv", pads=[1, 1, 1, 1]
        )
        model.graph.node.insert(0, parts)
    onnx.save(model, destination)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the branch ``main`` was run once."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(EXAMPLE, folder / "digits")
    deeper_model(folder / "digits/model.onnx", folder / "digits/deeper.onnx")
    report = run(folder, MAIN)
    assert report["returncode"] == 0
    assert len(report["details"]["jobs"][0]["history"]) == 1
    return folder


def test_the_same_engine_is_not_timed_again(base: Path) -> None:
    report = run(base, CHANGE)
    assert (report["returncode"], report["comparing"]) == (0, False)
    assert change_of(report)["basis"] == "same-engine"
    assert report["details"]["base"] == "main at aaaaaaa"


def test_an_engine_that_differs_in_its_key_alone_is_no_regression(base: Path) -> None:
    """Built with another workspace from the same timing cache: the same kernels under another key."""
    report = run(base, CHANGE, workspace_mib=513)
    change = change_of(report)
    assert report["comparing"]
    assert (report["returncode"], change["basis"], change["regressed"]) == (0, "paired", False)
    assert change["processes"] >= 32
    assert abs(change["latency"]["estimate_percent"]) < 3
    assert change["noise"]["low_percent"] <= change["noise"]["estimate_percent"] <= change["noise"]["high_percent"]


def test_a_slower_engine_exceeds_its_budget_and_names_what_made_it_slower(base: Path) -> None:
    report = run(base, CHANGE, model="deeper.onnx")
    change = change_of(report)
    assert (report["returncode"], change["verdict"], change["regressed"]) == (8, "slower", True)
    assert change["latency"]["low_percent"] > 3
    cause = report["details"]["jobs"][0]["cause"]
    assert any("/more/" in name for layer in cause for name in layer["after"])
    assert "longer than with the base branch's engine" in report["jobs"][0]["failure"]["why"]
    markdown = (base / "engines/report.md").read_text()
    assert "### Against `main at aaaaaaa`" in markdown or "### Against main at aaaaaaa" in markdown


def test_a_loosened_budget_does_not_let_a_slower_engine_pass(base: Path) -> None:
    """What was timed in turn before is not timed again, and the base branch's budget judges it."""
    report = run(base, CHANGE, model="deeper.onnx", budget_percent=900)
    assert report["returncode"] == 8
    (gate,) = report["details"]["changed_gates"]
    assert (gate["gate"], gate["base"], gate["held"]) == ("budgets.regression_percent", 3.0, True)


def test_a_faster_engine_is_told_and_passes(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "digits")
    deeper_model(tmp_path / "digits/model.onnx", tmp_path / "digits/deeper.onnx")
    run(tmp_path, MAIN, model="deeper.onnx")
    report = run(tmp_path, CHANGE)
    change = change_of(report)
    assert (report["returncode"], change["verdict"]) == (0, "faster")
    assert change["latency"]["high_percent"] < 0
    assert " faster" in (tmp_path / "engines/report.md").read_text().splitlines()[2]
