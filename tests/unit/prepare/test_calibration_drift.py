from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.prepare.calibration_drift import drift_between
from pipeline.prepare.calibration_table import CalibrationTable, parse_table, read_table
from tests.support.recorded_tensorrt import FIXTURES, REAL_TABLE

_SCALES = st.dictionaries(st.sampled_from("abcdef"), st.floats(2.0**-20, 2.0**20, width=32), min_size=1, max_size=6)


def table(scales: dict[str, float], zeros: str = "") -> CalibrationTable:
    return CalibrationTable("TRT-8600-EntropyCalibration2", scales, frozenset(zeros))


def test_what_moved_comes_farthest_first_up_or_down() -> None:
    drift = drift_between(
        table({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}), table({"a": 2.0, "b": 0.25, "c": 1.0, "d": 3.0})
    )
    assert [(each.tensor, each.ratio) for each in drift.moved] == [("b", 0.25), ("d", 3.0), ("a", 2.0)]
    assert (drift.same, drift.largest_factor, drift.median_factor) == (1, 4.0, 2.5)


def test_tensors_of_one_table_are_named() -> None:
    drift = drift_between(table({"a": 1.0, "b": 1.0}), table({"b": 1.0, "c": 1.0}))
    assert (drift.gone, drift.new, drift.moved) == (("a",), ("c",), ())


def test_a_tensor_that_became_zero_has_lost_its_range() -> None:
    assert drift_between(table({"a": 1.0, "b": 1.0}), table({"b": 1.0}, zeros="a")).gone == ("a",)


def test_tables_without_a_common_tensor_have_not_moved() -> None:
    drift = drift_between(table({"a": 1.0}), table({"b": 1.0}))
    assert (drift.largest_factor, drift.median_factor) == (1.0, 1.0)


@given(_SCALES)
def test_a_table_has_not_drifted_from_itself(scales: dict[str, float]) -> None:
    drift = drift_between(table(scales), table(scales))
    assert (drift.moved, drift.gone, drift.new, drift.same) == ((), (), (), len(scales))


@given(_SCALES, _SCALES)
def test_the_way_back_is_as_far(before: dict[str, float], after: dict[str, float]) -> None:
    there, back = drift_between(table(before), table(after)), drift_between(table(after), table(before))
    assert there.largest_factor == pytest.approx(back.largest_factor)
    assert (there.gone, there.new) == (back.new, back.gone)


def test_the_version_in_the_header_is_no_drift() -> None:
    real = parse_table(REAL_TABLE.read_text())
    assert drift_between(real, parse_table(real.text_for_tensorrt((10, 13, 3)))).same == 22


def test_the_real_entropy_tables_of_onnxruntime_and_tensorrt_are_near() -> None:
    ours = read_table(FIXTURES / "digits-onnxruntime-entropy.table")
    drift = drift_between(ours, read_table(REAL_TABLE))
    assert (len(drift.moved), drift.gone, len(drift.new)) == (18, (), 4)
    assert drift.largest_factor == pytest.approx(1.2703, abs=1e-4)
    assert drift.median_factor == pytest.approx(1.0414, abs=1e-4)
