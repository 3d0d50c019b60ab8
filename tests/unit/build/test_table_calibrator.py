from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.build.table_calibrator import table_calibrator
from pipeline.errors import ModelError
from tests.support.recorded_tensorrt import TRT, layer, network, tensor

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = tensor("image")
NETWORK = network([IMAGE], [layer("CONVOLUTION", [IMAGE], [tensor("logits")])])


def table(path: Path, calibrator: str = "EntropyCalibration2") -> Path:
    path.write_text(f"TRT-100000-{calibrator}\nimage: 3c010a14\n")
    return path


def test_the_table_is_given_under_the_version_that_reads_it(tmp_path: Path) -> None:
    calibrator = table_calibrator(TRT, table(tmp_path / "t"), NETWORK)
    assert calibrator.read_calibration_cache() == b"TRT-8600-EntropyCalibration2\nimage: 3c010a14\n"


@pytest.mark.parametrize(
    ("named", "base"),
    [
        ("EntropyCalibration2", TRT.IInt8EntropyCalibrator2),
        ("MinMaxCalibration", TRT.IInt8MinMaxCalibrator),
        ("LegacyCalibration", TRT.IInt8EntropyCalibrator2),
        ("EntropyCalibration", TRT.IInt8EntropyCalibrator2),
    ],
)
def test_the_calibrator_is_the_one_that_takes_a_table_of_that_kind(tmp_path: Path, named: str, base: type) -> None:
    assert isinstance(table_calibrator(TRT, table(tmp_path / "t", named), NETWORK), base)


def test_a_request_for_data_is_noticed(tmp_path: Path) -> None:
    calibrator = table_calibrator(TRT, table(tmp_path / "t"), NETWORK)
    assert not calibrator.refused
    assert calibrator.get_batch(["image"]) is None
    assert calibrator.refused


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("TRT-100000-EntropyCalibration2\nimage: 7fc00000\n")
    with pytest.raises(ModelError):
        table_calibrator(TRT, tmp_path / "t", NETWORK)


def test_a_table_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("TRT-8600-EntropyCalibration2\nother: 3c010a14\n")
    with pytest.raises(ModelError, match="lacks 1 of the 1 tensors that INT8 layers read: it has no 'image'"):
        table_calibrator(TRT, tmp_path / "t", NETWORK)
