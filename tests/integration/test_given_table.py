"""A calibration table that the team has, through the main job: real TensorRT-RTX, and a real table of TensorRT 8.6."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.digits import digits_manifest
from tests.support.recorded_tensorrt import REAL_TABLE

ROOT = Path(__file__).parents[2]
MANIFEST = digits_manifest(
    "calibration: {table: team.table}", "accuracy: {data: evaluation.npz, labels: evaluation-labels.npy}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """examples/digits with a manifest that names a table, and that table."""
    shutil.copytree(ROOT / "examples/digits", tmp_path, dirs_exist_ok=True)
    (tmp_path / "table.yaml").write_text(MANIFEST)
    shutil.copy2(REAL_TABLE, tmp_path / "team.table")
    return tmp_path


def run(folder: Path, command: str = "run") -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, str(ROOT / "entrypoint.py"), command, "--manifest", "table.yaml"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert "Traceback" not in result.stderr + result.stdout
    return result


def test_a_table_of_tensorrt_gives_the_qdq_nodes_and_nothing_is_calibrated(folder: Path) -> None:
    result = run(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "calibrating" not in result.stderr
    (job,) = json.loads((folder / "engines/report.json").read_text())["jobs"]
    assert job["accuracy"]["top1_candidate_percent"] >= 99
    assert "1 cached" in run(folder).stdout


def test_another_table_is_another_engine(folder: Path) -> None:
    run(folder)
    table = folder / "team.table"
    table.write_text(table.read_text().replace("image: 3c010a14", "image: 3c010204"))
    assert "calibration.table" in run(folder, "plan").stdout


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_a_damaged_table_is_told_with_its_line_before_anything_is_built(folder: Path, command: str) -> None:
    table = folder / "team.table"
    table.write_text(table.read_text().replace("3c010a14", "7fc00000"))
    result = run(folder, command)
    assert result.returncode == 4
    assert "team.table: the calibration table is damaged: line 2: the scale of 'image' is nan" in result.stderr


def test_a_table_that_lacks_tensors_fails_the_job_and_names_them(folder: Path) -> None:
    table = folder / "team.table"
    kept = [line for line in table.read_text().splitlines(True) if "block2/Relu_output" not in line]
    table.write_text("".join(kept))
    result = run(folder)
    assert result.returncode == 4
    assert "lacks 1 of the tensors that would be quantized" in result.stdout + result.stderr
    assert "/block2/Relu_output_0" in result.stdout + result.stderr
