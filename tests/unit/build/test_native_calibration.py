from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.build import native_calibration
from pipeline.build.native_calibration import calibrate_native, equal_batch_size
from pipeline.errors import BuildError, ModelError
from pipeline.prepare.calibration_table import read_table
from tests.support.recorded_tensorrt import TRT, Builder, Native, layer, network, tensor

if TYPE_CHECKING:
    from pathlib import Path

TABLE = "TRT-8600-EntropyCalibration2\nimage: 3c010a14\n/conv: 3d5703ba\n"
FACTS = [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}]


class Bench:
    """The task with a stand-in for TensorRT; ``result`` is what it answered."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.builder = Builder(TABLE)
        image, conv = tensor("image"), tensor("/conv")
        self.network = network([image], [layer("CONVOLUTION", [image], [conv])])
        self.native = Native(self.builder, self.network)
        self.data(np.ones((12, 1, 8, 8), np.float32))
        monkeypatch.setattr(native_calibration, "NativeTensorRT", lambda: self.native)
        monkeypatch.setattr("pipeline.machine.cuda.call", lambda *arguments: 7)
        monkeypatch.setattr(native_calibration._DeviceInputs, "upload", lambda self, name, values: 7)

    def data(self, values: Any) -> None:
        np.save(self.folder / "data.npy", values)

    def run(self, **request: Any) -> dict[str, Any]:
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        self.native.parsed = self.network
        return calibrate_native(
            {
                "runtime": "tensorrt",
                "model": str(self.folder / "model.onnx"),
                "inputs": FACTS,
                "data": str(self.folder / "data.npy"),
                "samples": None,
                "batch_size": 4,
                "method": "entropy",
                "percentile": 99.99,
                "tactic_sources": None,
                "plugins": [],
                **request,
            },
            out,
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_the_table_and_its_description_are_written(bench: Bench) -> None:
    result = bench.run()
    assert (result["tensors"], result["samples"], result["batches"], result["batch_size"]) == (2, 12, 3, 4)
    assert str(read_table(bench.folder / "out" / result["table"])) == str(
        read_table(bench.folder / "out/calibration.table")
    )
    described = json.loads((bench.folder / "out" / result["json"]).read_text())
    assert described["tools"] == {"tensorrt": "8.6.0"}
    assert described["tensors"]["image"]["scale"] == pytest.approx(1 / 127, rel=1e-3)
    assert described["percentile"] is None
    assert result["warnings"] == []


def test_the_build_around_it_is_the_cheapest(bench: Bench) -> None:
    bench.run()
    (config,) = bench.builder.configs
    assert bench.builder.levels == [0]
    assert config.flags == {TRT.BuilderFlag.INT8}


def test_a_network_that_cannot_run_at_the_lowest_level_is_calibrated_at_the_default_one(bench: Bench) -> None:
    bench.builder.least_level = 1
    assert bench.run()["batches"] == 3
    assert bench.builder.levels == [0, 3]


def test_a_failure_of_the_data_is_not_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(self: Any, name: str, values: Any) -> int:
        raise BuildError("no memory")

    monkeypatch.setattr(native_calibration._DeviceInputs, "upload", upload)
    with pytest.raises(BuildError, match="no memory"):
        bench.run()
    assert bench.builder.levels == [0]


def test_dynamic_shapes_are_calibrated_with_the_batchs_own(bench: Bench) -> None:
    bench.run()
    (config,) = bench.builder.configs
    assert config.num_optimization_profiles == 1
    assert config.calibration_profile.shapes == {"image": [(4, 1, 8, 8)] * 3}


def test_fixed_shapes_need_no_profile(bench: Bench) -> None:
    image = tensor("image", shape=(4, 1, 8, 8))
    bench.network = network([image], [layer("CONVOLUTION", [image], [tensor("/conv")])])
    bench.run()
    assert bench.builder.configs[0].calibration_profile is None


def test_the_legacy_calibrator_calibrates_before_fusion(bench: Bench) -> None:
    bench.builder.table = TABLE.replace("EntropyCalibration2", "LegacyCalibration")
    result = bench.run(method="legacy", percentile=99.9)
    assert TRT.QuantizationFlag.CALIBRATE_BEFORE_FUSION in bench.builder.configs[0].flags
    assert json.loads((bench.folder / "out" / result["json"]).read_text())["percentile"] == 99.9


def test_samples_that_do_not_divide_are_calibrated_in_smaller_equal_batches(bench: Bench) -> None:
    bench.data(np.ones((10, 1, 8, 8), np.float32))
    result = bench.run()
    assert (result["batch_size"], result["batches"]) == (2, 5)
    assert "in batches of 2 samples, not 4" in result["warnings"][0]


@pytest.mark.parametrize(
    ("samples", "wanted", "size"), [(12, 4, 4), (10, 4, 2), (7, 4, 1), (3, 8, 3), (256, 8, 8), (500, 8, 5)]
)
def test_a_batch_is_the_largest_equal_part(samples: int, wanted: int, size: int) -> None:
    assert equal_batch_size(samples, wanted) == size


def test_a_table_without_a_tensor_that_is_read_is_refused(bench: Bench) -> None:
    bench.builder.table = "TRT-8600-EntropyCalibration2\n/conv: 3d5703ba\n"
    with pytest.raises(ModelError, match=r"lacks 1 of the 1 tensors that INT8 layers read: it has no 'image'"):
        bench.run()
    assert not (bench.folder / "out/calibration.table").exists()


def test_ranges_that_are_not_finite_are_left_out_and_told(bench: Bench) -> None:
    bench.builder.table += "mask: 7f800000\nscores: 7fc00000\nempty: 0\n"
    result = bench.run()
    described = json.loads((bench.folder / "out" / result["json"]).read_text())
    assert (described["not_finite"], described["always_zero"]) == (["mask", "scores"], ["empty"])
    assert "no finite range for 2 tensors" in result["warnings"][0]


def test_a_build_that_fails_after_the_calibration_keeps_the_table(bench: Bench) -> None:
    bench.builder.plan = None
    assert bench.run()["tensors"] == 2


def test_a_builder_that_stops_asking_is_noticed(bench: Bench) -> None:
    bench.builder.asks_at_most = 2
    with pytest.raises(BuildError, match="it took 2 of 3 batches"):
        bench.run()


def test_a_builder_that_never_asks_is_noticed(bench: Bench) -> None:
    bench.builder.asks_at_most = 0
    with pytest.raises(BuildError, match="it took 0 of 3 batches and wrote no table"):
        bench.run()


def test_a_model_with_qdq_nodes_is_refused(bench: Bench) -> None:
    image = tensor("image")
    bench.network = network([image], [layer("QUANTIZE", [image], [tensor("q")])])
    with pytest.raises(ModelError, match="Q/DQ nodes of its own"):
        bench.run()


def test_a_version_without_calibrators_is_refused(bench: Bench) -> None:
    bench.native.major = 11
    with pytest.raises(BuildError, match="has no calibrator for the method entropy"):
        bench.run()


def test_an_error_that_is_none_of_ours_is_told_in_words(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(self: Any, name: str, values: Any) -> int:
        raise RuntimeError("boom")

    monkeypatch.setattr(native_calibration._DeviceInputs, "upload", upload)
    with pytest.raises(BuildError, match="could not be handed to TensorRT: RuntimeError: boom"):
        bench.run()
