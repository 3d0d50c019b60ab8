from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod
from pipeline.prepare.calibration_table import CalibrationTable, parse_table, table_from_amax

_HEADER = "TRT-100000-EntropyCalibration2"

_names = st.text(min_size=1, max_size=40).filter(lambda text: len(text.splitlines()) == 1 and text == text.strip())
_scales = st.floats(min_value=0, exclude_min=True, allow_infinity=False, width=32)


@given(st.dictionaries(_names, _scales, min_size=1, max_size=8))
def test_reading_what_was_written_gives_the_same_table(scales: dict[str, float]) -> None:
    table = CalibrationTable(_HEADER, scales)

    assert parse_table(str(table)) == table


@given(st.dictionaries(_names, _scales, min_size=1, max_size=8))
def test_the_order_of_entries_does_not_change_the_text(scales: dict[str, float]) -> None:
    backwards = dict(reversed(list(scales.items())))

    assert str(CalibrationTable(_HEADER, scales)) == str(CalibrationTable(_HEADER, backwards))


def test_the_text_holds_big_endian_scales_of_amax_over_127() -> None:
    table = table_from_amax(CalibrationMethod.ENTROPY, {"images": 1.0})

    assert str(table) == f"{_HEADER}\nimages: {struct.pack('>f', 1 / 127).hex()}\n"
    assert str(table).splitlines()[1] == "images: 3c010204"


@pytest.mark.parametrize(
    ("method", "calibrator"),
    [
        (CalibrationMethod.ENTROPY, "EntropyCalibration2"),
        (CalibrationMethod.MINMAX, "MinMaxCalibration"),
        (CalibrationMethod.PERCENTILE, "EntropyCalibration2"),
    ],
)
def test_the_header_names_the_calibrator_that_reads_the_table(method: CalibrationMethod, calibrator: str) -> None:
    assert table_from_amax(method, {"x": 1.0}).header == f"TRT-100000-{calibrator}"


@pytest.mark.parametrize(("version", "number"), [((8, 6, 0), "8600"), ((10, 13, 3), "101303"), ((10, 0, 1), "100001")])
def test_the_text_for_a_tensorrt_version_names_that_version(version: tuple[int, int, int], number: str) -> None:
    table = table_from_amax(CalibrationMethod.MINMAX, {"x": 1.0})

    text = table.text_for_tensorrt(version)

    assert text.splitlines()[0] == f"TRT-{number}-MinMaxCalibration"
    assert parse_table(text).scales == table.scales


def test_a_name_may_hold_the_separator() -> None:
    assert parse_table(f"{_HEADER}\na: b: 3f800000\n").scales == {"a: b": 1.0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{_HEADER}\n",
        "x: 3f800000\n",
        f"{_HEADER}\nx: 3f800000",
        f"{_HEADER}\nx: 3f8000\n",
        f"{_HEADER}\nx: 3f80000g\n",
        f"{_HEADER}\nx 3f800000\n",
        f"{_HEADER}\n: 3f800000\n",
        f"{_HEADER}\nx: 3f800000\n\n",
        f"{_HEADER}\nx: 3f800000\nx: 3f800000\n",
        f"{_HEADER}\nx: 7fc00000\n",
        f"{_HEADER}\nx: 7f800000\n",
        f"{_HEADER}\nx: 00000000\n",
        f"{_HEADER}\nx: bf800000\n",
        f"{_HEADER}\r\nx: 3f800000\r\n",
    ],
)
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="calibration table is damaged"):
        parse_table(text)


@pytest.mark.parametrize("amax", [math.nan, math.inf, 0.0, -1.0, 1e-60, 1e60])
def test_a_range_that_gives_no_usable_scale_is_refused(amax: float) -> None:
    with pytest.raises(ModelError, match="calibration table is damaged"):
        table_from_amax(CalibrationMethod.MINMAX, {"x": amax})


def test_a_table_cannot_be_changed() -> None:
    table = table_from_amax(CalibrationMethod.MINMAX, {"x": 1.0})

    with pytest.raises(TypeError):
        table.scales["x"] = 2.0  # type: ignore[index]
