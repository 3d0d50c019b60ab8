from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod
from pipeline.prepare.calibration_table import (
    CalibrationTable,
    headed,
    parse_table,
    read_table,
    table_from_amax,
    table_from_tensorrt,
)
from tests.support.recorded_tensorrt import REAL_TABLE

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: '' is no header such as 'TRT-8600-EntropyCalibration2'; line 1: is cut off"),
        (f"{_HEADER}\n", "it has no entry"),
        (f"{_HEADER}\nx: 00000000\n", "it has no entry"),
        (f"{_HEADER}\na: 3f800000\nx: 7fc00000\n", "line 3: the scale of 'x' is nan"),
        (f"{_HEADER}\nx: 7f800000\n", "line 2: the scale of 'x' is inf"),
        (f"{_HEADER}\nx: bf800000\n", "line 2: the scale of 'x' is -1.0"),
        (f"{_HEADER}\nx: 80000000\n", "line 2: the scale of 'x' is -0.0"),
        (f"{_HEADER}\nx: 3f8000\n", "line 2: has 6 of a scale's 8 hexadecimal digits"),
        (f"{_HEADER}\nx: 0.0078\n", "line 2: 'x: 0.0078' is no entry such as 'tensor: 3c010204'"),
        (f"{_HEADER}\nx: 3f800000\ny: 3f800000\nx: 3f800000\n", "line 4: names 'x' again, after line 2"),
        ("TRT-8XXX-EntropyCalibration2\nx: 3f800000\n", "line 1: 'TRT-8XXX-EntropyCalibration2' is no header"),
        (f"{_HEADER}\nx: 3f800000", "line 2: is cut off"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ModelError) as error:
        parse_table(text)
    assert error.value.why.startswith(told)


def test_a_long_list_of_faults_is_cut() -> None:
    with pytest.raises(ModelError, match="and 5 more"):
        parse_table(f"{_HEADER}\n" + "".join(f"x{n}: 7fc00000\n" for n in range(15)))


def test_tensors_that_were_always_zero_are_kept_apart() -> None:
    table = parse_table(f"{_HEADER}\nx: 3f800000\ny: 00000000\nz: 0\n")
    assert (dict(table.scales), table.zeros) == ({"x": 1.0}, frozenset({"y", "z"}))
    assert str(table) == f"{_HEADER}\nx: 3f800000\ny: 00000000\nz: 00000000\n"
    assert table.text_for_tensorrt((8, 6, 0)) == "TRT-8600-EntropyCalibration2\nx: 3f800000\n"


def test_a_legacy_table_is_handed_over_under_the_default_calibrator() -> None:
    table = parse_table("TRT-8600-LegacyCalibration\nx: 3f800000\n")
    assert table.text_for_tensorrt((8, 6, 0)).startswith("TRT-8600-EntropyCalibration2\n")


def test_what_tensorrt_wrote_is_read_with_its_short_digits_and_without_what_is_not_finite() -> None:
    table, not_finite = table_from_tensorrt("TRT-8600-EntropyCalibration2\nx: 3f800000\ny: 800000\nz: 7f800000\n")
    assert dict(table.scales) == {"x": 1.0, "y": 2.0**-126}
    assert not_finite == ("z",)


def test_what_tensorrt_wrote_is_refused_where_it_is_no_table() -> None:
    with pytest.raises(ModelError, match="line 2: 'what' is no entry"):
        table_from_tensorrt("TRT-8600-EntropyCalibration2\nwhat\n")


def test_the_real_table_of_tensorrt_is_read() -> None:
    table = read_table(REAL_TABLE)
    assert (table.header, len(table.scales)) == ("TRT-8600-EntropyCalibration2", 22)
    assert table.scales["image"] * 127 == pytest.approx(1.0, rel=1e-3)


def test_a_file_that_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"TRT-8600-EntropyCalibration2\n\xff\n")
    with pytest.raises(ModelError, match="byte 29 is not UTF-8") as error:
        read_table(tmp_path / "t")
    assert error.value.where == str(tmp_path / "t")


def test_a_file_beyond_all_tables_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "t").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ModelError, match="larger than 64 MiB"):
        read_table(tmp_path / "t")


def test_a_table_cannot_be_changed() -> None:
    table = table_from_amax(CalibrationMethod.MINMAX, {"x": 1.0})

    with pytest.raises(TypeError):
        table.scales["x"] = 2.0  # type: ignore[index]


def test_the_legacy_calibrators_table_gets_the_header_that_it_lacks() -> None:
    written = "0 3ff0000000000000 3fefff2e48e8a71d\nimage: 3c010204\n"
    assert headed(written, (8, 6, 0)) == "TRT-8600-LegacyCalibration\nimage: 3c010204\n"


def test_a_table_with_a_header_keeps_it() -> None:
    written = "TRT-8600-EntropyCalibration2\nimage: 3c010204\n"
    assert headed(written, (8, 6, 0)) == written
