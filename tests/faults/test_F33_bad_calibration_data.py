"""F33: calibration data that is missing, short, not finite, or of another shape or type.

Each is a ``ModelError`` that names the file or the batch. TensorRT itself takes what a calibrator raises for the end of
the data, so a table made from the batches before it, or from none, is what must never be there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.build import native_calibration
from pipeline.build.calibrator import BASES
from pipeline.build.native_calibration import calibrate_native
from pipeline.errors import ModelError
from pipeline.prepare.calibration import calibrate
from tests.support.recorded_tensorrt import Builder, Native, layer, network, tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    Calibrate = Callable[[dict[str, Any], Path], dict[str, Any]]

MODEL = Path(__file__).parents[2] / "examples/digits/model.onnx"
FACTS = [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}]
GOOD = np.ones((4, 1, 8, 8), np.float32)
BAD: dict[str, tuple[Any, str]] = {
    "NaN in a later sample": (np.concatenate([GOOD, GOOD * np.nan]), "holds NaN in sample 4"),
    "infinity in the first": (GOOD * np.inf, "holds infinity in sample 0"),
    "float64": (GOOD.astype(np.float64), "is float64, but input 'image' takes float32"),
    "int8": (GOOD.astype(np.int8), "is int8, but input 'image' takes float32"),
    "another shape": (
        np.ones((4, 3, 8, 8), np.float32),
        "(4, 3, 8, 8), but input 'image' takes (batch, 1, 8, 8)",
    ),
    "no axis for samples": (GOOD[0], "has 3 axes"),
    "no samples": (GOOD[:0], "holds no samples"),
}


@pytest.fixture(params=["calibrate", *(f"calibrate-native {method}" for method in BASES)])
def task(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Calibrate:
    """Each road to a table, TensorRT's with a stand-in that goes on after a bad batch as TensorRT does."""
    image = tensor("image")
    native = Native(
        Builder("TRT-8600-EntropyCalibration2\nimage: 3c010a14\n"),
        network([image], [layer("CONVOLUTION", [image], [tensor("logits")])]),
    )
    monkeypatch.setattr(native_calibration, "NativeTensorRT", lambda: native)
    monkeypatch.setattr(native_calibration._DeviceInputs, "upload", lambda self, name, values: 1)
    name, _, method = request.param.partition(" ")

    def run(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
        if name == "calibrate":
            return calibrate(asked | {"method": "entropy"}, folder)
        return calibrate_native(asked | {"method": method, "tactic_sources": None, "plugins": []}, folder)

    return run


def asked(data: Path, **changed: Any) -> dict[str, Any]:
    request = {"model": str(MODEL), "inputs": FACTS, "data": str(data), "samples": None, "batch_size": 4}
    return request | {"percentile": 99.99} | changed


@pytest.mark.parametrize("values", BAD)
def test_bad_data_is_refused_and_leaves_no_table(task: Calibrate, values: str, tmp_path: Path) -> None:
    array, complaint = BAD[values]
    np.save(tmp_path / "data.npy", array)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ModelError) as error:
        task(asked(tmp_path / "data.npy"), out)
    assert complaint in str(error.value)
    assert not list(out.rglob("*.table"))


def test_more_samples_than_there_are_is_refused(task: Calibrate, tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", GOOD)
    with pytest.raises(ModelError, match="9 samples are asked for, but it holds 4"):
        task(asked(tmp_path / "data.npy", samples=9), tmp_path)


def test_a_file_that_was_cut_off_is_refused(task: Calibrate, tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", GOOD)
    data = (tmp_path / "data.npy").read_bytes()
    (tmp_path / "data.npy").write_bytes(data[:-100])
    with pytest.raises(ModelError, match=r"data\.npy"):
        task(asked(tmp_path / "data.npy"), tmp_path)


def test_a_batch_of_another_shape_is_named_and_leaves_no_table(task: Calibrate, tmp_path: Path) -> None:
    """The digits model itself takes no other shape; where a model does, TensorRT still calibrates at one shape."""
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "1.npy", GOOD)
    np.save(data / "2.npy", np.ones((4, 1, 10, 10), np.float32))
    facts = [{"name": "image", "dtype": "float32", "shape": ["batch", 1, "height", "width"]}]
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ModelError, match=r"calibration batch 1, input 'image' has shape|cannot run the model"):
        task(asked(data, inputs=facts), out)
    assert not list(out.rglob("*.table"))


def test_good_data_gives_a_table(task: Calibrate, tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(8, 1, 8, 8)).astype(np.float32))
    assert task(asked(tmp_path / "data.npy"), tmp_path)["samples"] == 8
    assert (tmp_path / "calibration.table").exists()
