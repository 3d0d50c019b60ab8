"""A second, real training of the example through the main job, without a GPU: what is said of its INT8 ranges."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RETRAINED = ROOT / "tests/fixtures/digits-seed-1.onnx"
MANIFEST = """
version: 1
models:
  - name: digits
    onnx: model.onnx
    profiles: [{{image: {{min: [1, 1, 8, 8], opt: [8, 1, 8, 8], max: [32, 1, 8, 8]}}}}]
    targets: [{{compute_capability: "8.9", runtime: tensorrt-rtx}}]
    precisions: [int8]
    calibration: {{data: calibration.npz{more}}}
    accuracy: {{data: evaluation.npz, labels: evaluation-labels.npy, tolerances: {{top1-drop: 1.0}}}}
"""


def run(folder: Path, more: str) -> dict[str, Any]:
    """The only job of the report."""
    (folder / "digits/m.yaml").write_text(MANIFEST.format(more=more))
    command = [sys.executable, str(ROOT / "entrypoint.py"), "run", "--manifest", "digits/m.yaml", "--cache", "cache"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stderr
    (found,) = json.loads((folder / "engines/report.json").read_text())["jobs"]
    job: dict[str, Any] = found
    return job


def retrained(folder: Path, more: str = "") -> dict[str, Any]:
    """The job after the example was trained again."""
    shutil.copytree(ROOT / "examples/digits", folder / "digits")
    assert run(folder, more)["recalibration"] is None
    shutil.copy(RETRAINED, folder / "digits/model.onnx")
    return run(folder, more)


def test_a_retrained_model_is_calibrated_again_and_its_drift_is_told(tmp_path: Path) -> None:
    job = retrained(tmp_path)
    again = job["recalibration"]
    assert not again["reused"]
    assert (again["tensors"], again["moved"]) == (18, 17)
    assert again["largest_factor"] == pytest.approx(1.2049, abs=1e-3)
    assert "INT8 calibrated again in" in job["reason"]
    assert run(tmp_path, "")["recalibration"] is None


def test_ranges_that_moved_too_far_are_calibrated_again_with_the_reason(tmp_path: Path) -> None:
    job = retrained(tmp_path, ", reuse_within: 2%")
    assert not job["recalibration"]["reused"]
    (told,) = [text for text in job["warnings"] if text.startswith("not made by comparing ranges")]
    assert "on 32 samples" in told
    assert "`calibration.reuse_within` allows 1.02" in told


def test_a_table_is_kept_within_the_limit_and_the_engine_is_verified_with_it(tmp_path: Path) -> None:
    job = retrained(tmp_path, ", reuse_within: 50%")
    assert job["recalibration"]["reused"]
    assert job["recalibration"]["largest_factor"] < 1.5
    assert "INT8 keeps the table of the earlier weights: on a sample" in job["reason"]
    assert job["accuracy"]["top1_candidate_percent"] > 99
