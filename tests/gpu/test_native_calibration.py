"""TensorRT's own calibrators on the GPU of this machine: their tables, what they are used for, and how they fail."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.child.supervisor import run_task
from pipeline.errors import ModelError
from pipeline.machine.devices import installed_gpus
from pipeline.prepare.calibration_drift import drift_between
from pipeline.prepare.calibration_table import CalibrationTable, read_table
from tests.support.gpu_runs import EXAMPLE, ROOT, run
from tests.support.models import convolution_model, graph_model, saved

if TYPE_CHECKING:
    from pathlib import Path

METHODS = ("entropy", "minmax", "legacy")
TACTICS = ["edge-mask-convolutions", "jit-convolutions"]
IMAGE = [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}]
REQUEST: dict[str, Any] = {
    "runtime": "tensorrt",
    "model": str(EXAMPLE / "model.onnx"),
    "inputs": IMAGE,
    "data": str(EXAMPLE / "calibration.npz"),
    "samples": None,
    "batch_size": 8,
    "method": "entropy",
    "percentile": 99.99,
    "tactic_sources": TACTICS,
    "plugins": [],
}


def child(task: str, folder: Path, **request: Any) -> dict[str, Any]:
    """Run one task in a child on the first GPU; its result with ``table`` read and ``log`` added."""
    out = folder / task
    out.mkdir(parents=True)
    log = folder / f"{task}.log"
    result = run_task(
        task,
        REQUEST | request,
        out,
        timeout_s=250,
        cancel=threading.Event(),
        log=log,
        gpu=installed_gpus()[0].uuid,
    )
    return result | {"table": read_table(out / result["table"]), "log": log.read_text()}


def logs(folder: Path, kind: str) -> str:
    return "".join(path.read_text() for path in sorted((folder / "engines/logs").rglob(f"{kind}.log")))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Method -> the result of TensorRT's calibrator of that name on examples/digits."""
    folder = tmp_path_factory.mktemp("tables")
    return {method: child("calibrate-native", folder / method, method=method) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_each_calibrator_takes_every_batch_and_measures_every_tensor(
    method: str, tables: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    result = tables[method]
    assert (result["samples"], result["batches"], result["batch_size"]) == (256, 32, 8)
    with_onnxruntime = child("calibrate", tmp_path)["table"]
    assert with_onnxruntime.scales.keys() <= result["table"].scales.keys() | result["table"].zeros
    print(f"{method}: {result['seconds']} s, {result['tensors']} tensors")


@pytest.mark.parametrize(("method", "most"), [("entropy", 2.0), ("minmax", 1.1)])
def test_tensorrt_and_onnxruntime_find_much_the_same_ranges(
    method: str, most: float, tables: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    drift = drift_between(child("calibrate", tmp_path, method=method)["table"], tables[method]["table"])
    for each in drift.moved:
        print(f"{each.ratio:8.4f} {each.tensor}")
    print(f"{method}: largest {drift.largest_factor:.4f}, median {drift.median_factor:.4f}")
    assert drift.gone == ()
    assert drift.largest_factor <= most


def test_the_three_calibrators_differ(tables: dict[str, dict[str, Any]]) -> None:
    found = [tuple(tables[method]["table"].scales.items()) for method in METHODS]
    assert len(set(found)) == 3


def test_the_percentile_decides_what_the_legacy_calibrator_clips(
    tables: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    narrow: CalibrationTable = child("calibrate-native", tmp_path, method="legacy", percentile=90.0)["table"]
    wide: CalibrationTable = tables["legacy"]["table"]
    smaller = [tensor for tensor in wide.scales if narrow.scales[tensor] < wide.scales[tensor]]
    assert len(smaller) > len(wide.scales) / 2


def test_calibrating_twice_gives_the_same_ranges(tables: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    again = child("calibrate-native", tmp_path)["table"]
    drift = drift_between(tables["entropy"]["table"], again)
    assert drift.largest_factor < 1.05
    assert (drift.gone, drift.new) == ((), ())


def test_one_table_serves_both_precisions_and_the_builds_take_no_batch(tmp_path: Path) -> None:
    report = run(tmp_path, int8="implicit", only="*/int8*")
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert [job["status"] for job in report["jobs"]] == ["built", "built"]
    assert all(job["accuracy"]["top1_candidate_percent"] >= 98 for job in report["jobs"])
    assert logs(tmp_path, "calibration").count("Calibrated batch") == 32
    assert "Calibrated batch" not in logs(tmp_path, "engine")
    report = run(tmp_path, int8="implicit", only="*/int8*")
    assert {job["status"] for job in report["jobs"]} == {"cached"}


def test_a_percentile_table_of_onnxruntime_is_taken(tmp_path: Path) -> None:
    report = run(tmp_path, int8="implicit", method="percentile", only="*/int8")
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert report["jobs"][0]["accuracy"]["top1_candidate_percent"] >= 98
    assert "Calibrated batch" not in logs(tmp_path, "engine")


def test_a_table_that_the_team_made_with_another_version_is_taken_without_a_batch(
    tables: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "digits").mkdir()
    text = str(tables["entropy"]["table"]).split("\n", 1)[1]
    (tmp_path / "digits/team.table").write_text(f"TRT-8401-EntropyCalibration2\n{text}")
    report = run(tmp_path, int8="implicit", calibration="table: team.table", only="*/int8")
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert report["jobs"][0]["accuracy"]["top1_candidate_percent"] >= 98
    assert "Calibrated batch" not in logs(tmp_path, "engine")


def test_a_table_that_lacks_a_tensor_fails_the_job_and_names_it(
    tables: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "digits").mkdir()
    lines = str(tables["entropy"]["table"]).splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("/block2/Relu_output_0:")]
    (tmp_path / "digits/team.table").write_text("".join(kept))
    report = run(tmp_path, int8="implicit", calibration="table: team.table", only="*/int8")
    assert report["returncode"] == 4
    assert "/block2/Relu_output_0" in report["jobs"][0]["failure"]["why"]


def test_what_fails_inside_the_calibrator_fails_the_task(tmp_path: Path) -> None:
    """TensorRT goes on after an exception in ``get_batch``, with a table from the batches before it."""
    script = f"""
import json
from pathlib import Path
from pipeline.build import native_calibration as task

copy, seen = task._DeviceInputs.upload, []
def upload(self, name, values):
    seen.append(name)
    if len(seen) == 4:
        raise RuntimeError("the copy failed")
    return copy(self, name, values)
task._DeviceInputs.upload = upload
request = json.loads({json.dumps(REQUEST)!r})
try:
    task.calibrate_native(request, Path({str(tmp_path)!r}))
except task.BuildError as error:
    print("REFUSED", error)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=250
    )
    assert "REFUSED the calibration data could not be handed to TensorRT: RuntimeError: the copy failed" in (
        result.stdout
    ), result.stderr
    assert not list(tmp_path.rglob("*.table"))


def test_a_model_of_one_batch_size_is_calibrated_without_a_profile(tmp_path: Path) -> None:
    model = convolution_model()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(16, 1, 8, 8)).astype(np.float32))
    facts = [{"name": "image", "dtype": "float32", "shape": [4, 1, 8, 8]}]
    path = saved(model, tmp_path / "model.onnx")
    result = child("calibrate-native", tmp_path, model=str(path), inputs=facts, data=str(tmp_path / "data.npy"))
    assert (result["batches"], result["batch_size"]) == (4, 4)
    assert "image" in result["table"].scales


def test_integer_inputs_are_given_in_the_width_that_the_network_takes(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    model = graph_model(
        [
            helper.make_node("Gather", ["embedding", "ids"], ["words"], name="embed"),
            helper.make_node("MatMul", ["words", "weight"], ["hidden"], name="dense"),
            helper.make_node("Relu", ["hidden"], ["scores"], name="relu"),
        ],
        [("ids", TensorProto.INT64, ["batch", 4])],
        [("scores", TensorProto.FLOAT, ["batch", 4, 16])],
        {
            "embedding": draw.normal(size=(32, 16)).astype(np.float32),
            "weight": draw.normal(size=(16, 16)).astype(np.float32),
        },
    )
    np.save(tmp_path / "data.npy", draw.integers(0, 32, (16, 4)))
    facts = [{"name": "ids", "dtype": "int64", "shape": ["batch", 4]}]
    path = saved(model, tmp_path / "model.onnx")
    result = child("calibrate-native", tmp_path, model=str(path), inputs=facts, data=str(tmp_path / "data.npy"))
    assert "words" in result["table"].scales


def test_a_model_with_qdq_nodes_is_not_calibrated(tmp_path: Path) -> None:
    model = graph_model(
        [
            helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"], name="q"),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], name="dq"),
        ],
        [("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [("y", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        {"scale": np.array(0.1, np.float32), "zero": np.array(0, np.int8)},
    )
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="Q/DQ nodes of its own"):
        child("calibrate-native", tmp_path, model=str(tmp_path / "model.onnx"))
