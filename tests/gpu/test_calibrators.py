"""TensorRT's own calibrators on the GPU, and the tables that they give."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gpu_runs import run

if TYPE_CHECKING:
    from pathlib import Path


def table_of(folder: Path) -> Path:
    """The one calibration table in the cache of ``folder``: the blob that begins as tables do."""
    blobs = [path for path in (folder / ".trt-cache/v1/blob").rglob("*") if path.is_file()]
    (table,) = [path for path in blobs if path.read_bytes().startswith(b"TRT-")]
    return table


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder in which TensorRT's entropy calibrator was run once."""
    folder = tmp_path_factory.mktemp("calibrated")
    return folder, run(folder, int8="implicit", only="*/int8")


def test_int8_ranges_come_from_tensorrts_entropy_calibrator(calibrated: tuple[Path, dict[str, Any]]) -> None:
    folder, report = calibrated
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert report["jobs"][0]["accuracy"]["top1_candidate_percent"] >= 98
    assert table_of(folder).read_text().splitlines()[0].endswith("-EntropyCalibration2")


@pytest.mark.parametrize("method", ["minmax", "legacy"])
def test_the_other_calibrators_give_tables_and_accurate_engines(tmp_path: Path, method: str) -> None:
    report = run(tmp_path, int8="implicit", method=method, only="*/int8")
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert report["jobs"][0]["accuracy"]["top1_candidate_percent"] >= 98
    assert "EntropyCalibration" not in table_of(tmp_path).read_text().splitlines()[0]


def test_a_table_is_calibrated_once_for_all_precisions(calibrated: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = calibrated
    before = table_of(folder)
    assert run(folder, int8="implicit", only="*/int8*")["returncode"] == 0
    assert table_of(folder) == before


def test_a_table_that_a_team_has_is_taken(calibrated: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    shutil.copytree(calibrated[0] / "digits", tmp_path / "digits")
    shutil.copyfile(table_of(calibrated[0]), tmp_path / "digits/own.table")
    report = run(tmp_path, int8="implicit", calibration="table: own.table", only="*/int8")
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert report["jobs"][0]["accuracy"]["top1_candidate_percent"] >= 98
