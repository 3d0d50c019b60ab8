from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def _images(name: str) -> np.ndarray:
    with np.load(EXAMPLE / name, allow_pickle=False) as archive:
        assert archive.files == ["image"]
        images: np.ndarray = archive["image"]
        return images


def _labels() -> np.ndarray:
    labels: np.ndarray = np.load(EXAMPLE / "evaluation-labels.npy", allow_pickle=False)
    return labels


def _logits(images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(EXAMPLE / "model.onnx", providers=["CPUExecutionProvider"])
    logits: np.ndarray = session.run(["logits"], {"image": images})[0]
    return logits


@pytest.mark.parametrize(("name", "count"), [("calibration.npz", 256), ("evaluation.npz", 450)])
def test_images_are_float32_of_the_model_input_shape(name: str, count: int) -> None:
    images = _images(name)
    assert (images.dtype.name, images.shape) == ("float32", (count, 1, 8, 8))


@pytest.mark.parametrize("name", ["calibration.npz", "evaluation.npz"])
def test_pixels_fill_the_range_from_0_to_1(name: str) -> None:
    images = _images(name)
    assert (images.min(), images.max()) == (0.0, 1.0)


def test_calibration_and_evaluation_share_no_image() -> None:
    calibration = {image.tobytes() for image in _images("calibration.npz")}
    evaluation = {image.tobytes() for image in _images("evaluation.npz")}
    assert not calibration & evaluation


def test_labels_are_one_int64_per_evaluation_image() -> None:
    labels = _labels()
    assert (labels.dtype.name, labels.shape) == ("int64", (450,))


def test_labels_hold_each_digit_about_equally_often() -> None:
    digits, counts = np.unique(_labels(), return_counts=True)
    assert digits.tolist() == list(range(10))
    assert counts.min() >= 40


def test_model_has_a_dynamic_batch_and_opset_17() -> None:
    model = onnx.load(EXAMPLE / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    dimensions = {
        value.name: [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert dimensions == {"image": ["batch", 1, 8, 8], "logits": ["batch", 10]}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]


def test_model_has_what_int8_placement_must_get_right() -> None:
    operators = {node.op_type for node in onnx.load(EXAMPLE / "model.onnx").graph.node}
    assert operators == {"Conv", "Relu", "Add", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm"}


def test_held_out_top1_is_at_least_98_percent() -> None:
    top1_percent = 100.0 * np.mean(_logits(_images("evaluation.npz")).argmax(axis=1) == _labels())
    assert top1_percent >= 98.0


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_logits_do_not_depend_on_the_batch_size(batch: int) -> None:
    images = _images("evaluation.npz")[:32]
    batches = [_logits(images[start : start + batch]) for start in range(0, 32, batch)]
    np.testing.assert_allclose(np.concatenate(batches), _logits(images), atol=1e-4)


def test_the_whole_example_is_under_1_mb() -> None:
    assert sum(path.stat().st_size for path in EXAMPLE.iterdir() if path.is_file()) < 1_000_000
