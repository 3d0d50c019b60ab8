"""A retrained model through the main job: its engine is the old one with new weights, as fast and as accurate."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper

from pipeline.compare.bootstrap import interval_from_contrasts
from tests.support.gpu_runs import EXAMPLE, ROOT, capability, entrypoint
from tests.support.other_exports import with_other_names_and_order, with_other_weight_names

if TYPE_CHECKING:
    from pathlib import Path

RETRAINED = ROOT / "tests/fixtures/digits-seed-1.onnx"
"""What `examples/digits/train.py --seed 1` writes."""
MANIFEST = """
version: 1
models:
  - name: digits
    onnx: model.onnx
    profiles:
      - image: {{min: [1, 1, 8, 8], opt: [8, 1, 8, 8], max: [32, 1, 8, 8]}}
    targets: [{{compute_capability: "{capability}"}}]
    precisions: [{precisions}]
    calibration: {{data: calibration.npz}}
    build:
      optimization_level: 3
      refit: {refit}
      tactic_sources: [edge-mask-convolutions, jit-convolutions]
      min_precision_share: 0
    accuracy: {{data: evaluation.npz, labels: evaluation-labels.npy, tolerances: {{top1-drop: 1.0, cosine: 0.95}}}}
"""
ROUNDS = 8


def run(folder: Path, *, precisions: str = "fp32, fp16", refit: str = "auto", out: str = "engines") -> dict[str, Any]:
    """The report of the main job on whatever model lies in ``folder``."""
    text = MANIFEST.format(capability=capability(), precisions=precisions, refit=refit)
    (folder / "digits/gpu.yaml").write_text(text)
    result = entrypoint(folder, "run", "--manifest", "digits/gpu.yaml", "--out", out)
    print(result.stdout, result.stderr)
    assert result.returncode == 0
    report: dict[str, Any] = json.loads((folder / out / "report.json").read_text())
    return report


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """A folder in which the example was built and then built again with the weights of another training."""
    folder = tmp_path_factory.mktemp("retrained")
    shutil.copytree(EXAMPLE, folder / "digits")
    first = run(folder)
    shutil.copy(RETRAINED, folder / "digits/model.onnx")
    return folder, first, run(folder)


Retrained = tuple["Path", dict[str, Any], dict[str, Any]]


def test_the_first_run_builds_and_the_second_refits(retrained: Retrained) -> None:
    _, first, second = retrained
    for before, after in zip(first["jobs"], second["jobs"], strict=True):
        assert before["refit"] is None
        assert before["status"] == after["status"] == "built"
        assert after["refit"]["origin"] == before["engine"]["key"]
        assert after["refit"]["changed"] > 0
        assert after["refit"]["weights"] > 0
        assert "refitted in" in after["reason"]


def test_a_refit_is_much_faster_than_the_build_that_it_replaces(retrained: Retrained) -> None:
    for job in retrained[2]["jobs"]:
        took = job["refit"]
        print(f"{job['id']}: built {took['instead_of_s']} s, refitted {took['refit_s']} s, child {job['build_s']} s")
        assert took["instead_of_s"] > 10 * took["refit_s"]
        assert took["instead_of_s"] > job["build_s"]


def test_the_refitted_engines_are_verified_and_read_digits(retrained: Retrained) -> None:
    for job in retrained[2]["jobs"]:
        assert job["accuracy"]["subject"] == "engine"
        assert job["accuracy"]["top1_candidate_percent"] >= 98
        assert all(verdict["passed"] for verdict in job["accuracy"]["verdicts"])
        assert job["accuracy"]["outputs"][0]["cosine_min"] > 0.999


def test_a_third_run_finds_the_refitted_engines_cached(retrained: Retrained) -> None:
    folder, _, second = retrained
    third = run(folder)
    assert {job["status"] for job in third["jobs"]} == {"cached"}
    assert [job["engine"]["digest"] for job in third["jobs"]] == [job["engine"]["digest"] for job in second["jobs"]]


def test_a_refitted_engine_names_its_origin_beside_it(retrained: Retrained) -> None:
    folder, first, second = retrained
    sidecar = json.loads((folder / "engines" / second["jobs"][0]["engine"]["path"]).with_suffix(".json").read_text())
    assert sidecar["refitted_from"] == first["jobs"][0]["engine"]["key"]


def test_a_refitted_engine_is_as_fast_as_a_rebuilt_one(retrained: Retrained) -> None:
    folder, _, second = retrained
    rebuilt = run(folder, refit="never", out="rebuilt")
    for one, other in zip(second["jobs"], rebuilt["jobs"], strict=True):
        assert other["refit"] is None
        pair = folder / "engines" / one["engine"]["path"], folder / "rebuilt" / other["engine"]["path"]
        contrasts = [math.log(head / base) for head, base in (_round(pair, number) for number in range(ROUNDS))]
        low, estimate, high = (math.exp(value) for value in interval_from_contrasts(contrasts, 0.99))
        print(f"{one['id']}: refitted over rebuilt {estimate:.4f} (99 % interval {low:.4f} to {high:.4f})")
        assert low < 1.01


def _round(pair: tuple[Path, Path], number: int) -> tuple[float, float]:
    """The fastest of two processes of each engine, in the order ABBA or BAAB."""
    order = (0, 1, 1, 0) if number % 2 else (1, 0, 0, 1)
    medians: list[list[float]] = [[], []]
    for side in order:
        command = [sys.executable, str(ROOT / "benchmarks/bare_tensorrt.py"), "time", str(pair[side]), "8x1x8x8", "0.5"]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        medians[side].append(float(result.stdout.splitlines()[-1]))
    return min(medians[0]), min(medians[1])


def test_another_structure_is_built_and_not_refitted(retrained: Retrained, tmp_path: Path) -> None:
    folder, _, _ = retrained
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    model = onnx.load(str(RETRAINED))
    last = model.graph.node[-1]
    name = last.output[0]
    last.output[0] = "unscaled"
    model.graph.node.append(helper.make_node("Identity", ["unscaled"], [name], name="more"))
    onnx.save(model, str(tmp_path / "digits/model.onnx"))
    report = run(tmp_path, precisions="fp16")
    assert report["jobs"][0]["status"] == "built"
    assert report["jobs"][0]["refit"] is None


def test_the_model_as_another_exporter_writes_it_is_refitted(retrained: Retrained, tmp_path: Path) -> None:
    folder, first, _ = retrained
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    model = with_other_names_and_order(onnx.load(str(RETRAINED)))
    onnx.save(model, str(tmp_path / "digits/model.onnx"))
    (job,) = run(tmp_path, precisions="fp16")["jobs"]
    assert (
        job["refit"]["origin"] == next(each for each in first["jobs"] if each["precision"] == "fp16")["engine"]["key"]
    )
    assert job["accuracy"]["outputs"][0]["cosine_min"] > 0.999


def test_other_names_for_the_weights_make_a_build_necessary(retrained: Retrained, tmp_path: Path) -> None:
    folder, _, _ = retrained
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    onnx.save(with_other_weight_names(onnx.load(str(RETRAINED))), str(tmp_path / "digits/model.onnx"))
    (job,) = run(tmp_path, precisions="fp16")["jobs"]
    assert (job["status"], job["refit"]) == ("built", None)


def test_a_number_that_decides_how_a_layer_works_is_never_left_old(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "digits")
    model = onnx.load(str(EXAMPLE / "model.onnx"))
    exponent = onnx.numpy_helper.from_array(np.array([2.0], np.float32), "exponent")
    last = model.graph.node[-1]
    name = last.output[0]
    last.output[0] = "plain"
    model.graph.node.append(helper.make_node("Pow", ["plain", "exponent"], [name], name="power"))
    model.graph.initializer.append(exponent)
    onnx.save(model, str(tmp_path / "digits/model.onnx"))
    run(tmp_path, precisions="fp32")
    model.graph.initializer[-1].CopyFrom(onnx.numpy_helper.from_array(np.array([3.0], np.float32), "exponent"))
    onnx.save(model, str(tmp_path / "digits/model.onnx"))
    (job,) = run(tmp_path, precisions="fp32")["jobs"]
    # Either way the numbers are right: TensorRT takes the exponent as a weight, or the engine is built.
    assert job["accuracy"]["outputs"][0]["cosine_min"] > 0.999
    assert job["refit"] is not None or any("not made by refitting" in text for text in job["warnings"])


def test_int8_is_built_again_and_says_why(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "digits")
    run(tmp_path, precisions="int8")
    shutil.copy(RETRAINED, tmp_path / "digits/model.onnx")
    (job,) = run(tmp_path, precisions="int8")["jobs"]
    assert job["refit"] is None
    assert "the ranges of INT8 belong to the weights" in job["reason"]
