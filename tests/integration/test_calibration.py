from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper

from pipeline.errors import ModelError
from pipeline.prepare.calibration import calibrate
from pipeline.prepare.calibration_table import parse_table
from pipeline.prepare.facts import TensorFacts, tensor_to_json
from tests.support.quantizable_models import model_from, residual_cnn

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto


def _run(folder: Path, model: ModelProto, data: np.ndarray, **changes: Any) -> tuple[dict[str, float], dict[str, Any]]:
    onnx.save(model, folder / "model.onnx")
    np.save(folder / "data.npy", data)
    shape = tuple(size.dim_value or size.dim_param for size in model.graph.input[0].type.tensor_type.shape.dim)
    request = {
        "model": str(folder / "model.onnx"),
        "inputs": [tensor_to_json(TensorFacts("x", "float32", shape))],
        "data": str(folder / "data.npy"),
        "samples": None,
        "batch_size": 8,
        "method": "minmax",
        "percentile": 99.9,
        **changes,
    }
    out = folder / "out"
    out.mkdir(exist_ok=True)
    result = calibrate(request, out)
    assert sorted(path.name for path in out.iterdir()) == ["calibration.json", "calibration.table"]
    table = parse_table((out / result["table"]).read_text())
    assert result["tensors"] == len(table.scales)
    return dict(table.scales), json.loads((out / result["json"]).read_bytes())


def _images(samples: int = 16) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((samples, 3, 16, 16)).astype(np.float32)


def _pointwise(batch: int | str = "N") -> ModelProto:
    """``x`` [batch, 4] -> ``y`` = 2x, ``z`` = relu(x) - relu(x), which is always zero."""
    make = helper.make_node
    nodes = [make("Add", ["x", "x"], ["y"]), make("Relu", ["x"], ["r"]), make("Sub", ["r", "r"], ["z"])]
    return model_from(nodes, inputs={"x": [batch, 4]}, outputs={"y": [batch, 4], "z": [batch, 4]}, weights={})


def test_every_activation_gets_the_scale_of_its_largest_magnitude(tmp_path: Path) -> None:
    data = np.array([[1, -8, 3, 0]], np.float32)

    scales, _ = _run(tmp_path, _pointwise(), data)

    assert scales == pytest.approx({"x": 8 / 127, "y": 16 / 127, "r": 3 / 127})


def test_a_tensor_that_is_always_zero_is_left_out_and_listed(tmp_path: Path) -> None:
    scales, description = _run(tmp_path, _pointwise(), np.ones((2, 4), np.float32))

    assert "z" not in scales
    assert description["always_zero"] == ["z"]


def test_weights_are_not_calibrated(tmp_path: Path) -> None:
    scales, _ = _run(tmp_path, residual_cnn(), _images())

    assert set(scales) == {
        "x",
        "c1",
        "bn1",
        "r1",
        "p1",
        "c2",
        "bn2",
        "r2",
        "c3",
        "sum",
        "r3",
        "p2",
        "p3",
        "f",
        "logits",
    }


def test_a_max_pooling_gives_its_input_s_scale_on(tmp_path: Path) -> None:
    scales, _ = _run(tmp_path, residual_cnn(), _images())

    assert scales["p1"] == scales["r1"]
    assert scales["f"] == scales["p3"]


@pytest.mark.parametrize("method", ["entropy", "minmax", "percentile"])
def test_the_table_does_not_depend_on_the_batch_size(tmp_path: Path, method: str) -> None:
    first, _ = _run(tmp_path, _pointwise(), _images(6).reshape(-1, 4), method=method, batch_size=1)
    second, _ = _run(tmp_path, _pointwise(), _images(6).reshape(-1, 4), method=method, batch_size=5)

    assert first == second


def test_the_same_request_gives_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for _ in range(2):
        _run(tmp_path, residual_cnn(), _images(), method="entropy")
        files.append([path.read_bytes() for path in sorted((tmp_path / "out").iterdir())])

    assert files[0] == files[1]


def test_entropy_clips_where_minmax_does_not(tmp_path: Path) -> None:
    data = np.random.default_rng(0).standard_t(2, (5000, 4)).astype(np.float32)

    wide, _ = _run(tmp_path, _pointwise(), data, batch_size=500)
    narrow, description = _run(tmp_path, _pointwise(), data, batch_size=500, method="entropy")

    assert narrow["x"] < 0.5 * wide["x"]
    assert 0 < description["tensors"]["x"]["clipped_share"] < 0.01


def test_only_the_asked_number_of_samples_is_used(tmp_path: Path) -> None:
    data = np.ones((4, 4), np.float32)
    data[3] = 100

    scales, description = _run(tmp_path, _pointwise(), data, samples=3)

    assert scales["x"] == pytest.approx(1 / 127)
    assert description["samples"] == 3


def test_a_fixed_batch_takes_the_place_of_the_one_asked_for(tmp_path: Path) -> None:
    scales, description = _run(tmp_path, _pointwise(batch=2), np.ones((4, 4), np.float32), batch_size=3)

    assert scales["x"] == pytest.approx(1 / 127)
    assert description["batch_size"] == 2


def test_the_description_names_data_and_tools(tmp_path: Path) -> None:
    _, description = _run(tmp_path, _pointwise(), np.ones((2, 4), np.float32))

    assert description["data"].startswith("sha256:")
    assert set(description["tools"]) == {"numpy", "onnx", "onnxruntime"}
    assert description["method"] == "minmax"


def test_a_tensor_with_an_infinity_is_left_out_and_listed(tmp_path: Path) -> None:
    make = helper.make_node
    model = model_from(
        [make("Log", ["x"], ["masked"]), make("Softmax", ["masked"], ["y"])],
        inputs={"x": ["N", 2]},
        outputs={"y": ["N", 2]},
        weights={},
    )

    scales, description = _run(tmp_path, model, np.array([[0, 1]], np.float32))

    assert set(scales) == {"x", "y"}
    assert description["not_finite"] == ["masked"]


def test_an_output_that_is_no_number_is_refused(tmp_path: Path) -> None:
    model = model_from(
        [helper.make_node("Log", ["x"], ["y"])], inputs={"x": ["N", 2]}, outputs={"y": ["N", 2]}, weights={}
    )

    with pytest.raises(ModelError, match="NaN or infinity on the calibration data, in its output 'y'"):
        _run(tmp_path, model, np.array([[-1, 1]], np.float32))


def test_data_of_zeros_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="anything but zero"):
        _run(tmp_path, _pointwise(), np.zeros((2, 4), np.float32))


def test_a_model_that_cannot_run_on_the_data_is_refused(tmp_path: Path) -> None:
    model = model_from(
        [helper.make_node("Reshape", ["x", "shape"], ["r"]), helper.make_node("Relu", ["r"], ["y"])],
        inputs={"x": ["N", "M"]},
        outputs={"y": ["K", 3]},
        weights={"shape": np.array([-1, 3])},
    )

    with pytest.raises(ModelError, match="onnxruntime cannot run the model"):
        _run(tmp_path, model, np.ones((2, 4), np.float32))
