from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pipeline.build.table_calibrator import table_calibrator
from pipeline.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

TRT = SimpleNamespace(
    __version__="8.6.0",
    IInt8EntropyCalibrator2=type("IInt8EntropyCalibrator2", (), {}),
    IInt8MinMaxCalibrator=type("IInt8MinMaxCalibrator", (), {}),
)


def table(path: Path, calibrator: str = "EntropyCalibration2") -> Path:
    path.write_text(f"TRT-100000-{calibrator}\nimage: 3c010a14\n")
    return path


def test_the_table_is_given_under_the_version_that_reads_it(tmp_path: Path) -> None:
    calibrator = table_calibrator(TRT, table(tmp_path / "t"))
    assert calibrator.read_calibration_cache() == b"TRT-8600-EntropyCalibration2\nimage: 3c010a14\n"


@pytest.mark.parametrize(
    ("named", "base"),
    [("EntropyCalibration2", TRT.IInt8EntropyCalibrator2), ("MinMaxCalibration", TRT.IInt8MinMaxCalibrator)],
)
def test_the_calibrator_is_of_the_kind_that_the_table_names(tmp_path: Path, named: str, base: type) -> None:
    assert isinstance(table_calibrator(TRT, table(tmp_path / "t", named)), base)


def test_a_request_for_data_is_noticed(tmp_path: Path) -> None:
    calibrator = table_calibrator(TRT, table(tmp_path / "t"))
    assert not calibrator.refused
    assert calibrator.get_batch(["image"]) is None
    assert calibrator.refused


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("TRT-100000-EntropyCalibration2\nimage: 7fc00000\n")
    with pytest.raises(ModelError):
        table_calibrator(TRT, tmp_path / "t")
