"""A calibration table in TensorRT's own text form: the one artefact that every TensorRT version can use.

The first line names a TensorRT version and the calibrator that reads the table; each further line is
``tensor: hex``, where ``hex`` holds the eight digits of the tensor's scale as a big-endian IEEE single. The scale is
amax / 127, so that amax, the largest magnitude kept, becomes the integer 127.

TensorRT 8.6 and 10.x read it natively, and there only under their own version (10.x answers a table of 8.6 with
``Calibration table does not match calibrator algorithm type`` and calibrates anew). So a table is stored under one
version, always the same, and ``text_for_tensorrt`` gives the text for the version that is to read it.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.manifest.types import CalibrationMethod

_HEADER = re.compile(r"TRT-[0-9]{4,6}-[A-Za-z0-9]{1,40}")
_ENTRY = re.compile(r"(?P<tensor>.+): (?P<hex>[0-9a-fA-F]{8})")
_STORED_VERSION = (10, 0, 0)
_CALIBRATORS = {"entropy": "EntropyCalibration2", "minmax": "MinMaxCalibration", "percentile": "EntropyCalibration2"}
_LARGEST_INTEGER = 127.0


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """Tensor name -> scale (float32, finite and above zero). ``header`` is the first line of the text form.

    Raises ``ModelError`` where there is no entry, a scale that is not such a number, or a name that cannot be
    written on one line.
    """

    header: str
    scales: Mapping[str, float]

    def __post_init__(self) -> None:
        if _HEADER.fullmatch(self.header) is None:
            raise _damaged(f"its first line is {self.header[:80]!r}")
        if not self.scales:
            raise _damaged("it has no entry")
        for tensor, scale in self.scales.items():
            if not tensor or len(tensor.splitlines()) != 1 or tensor != tensor.strip():
                raise _damaged(f"{tensor[:80]!r} cannot be a tensor's name")
            if not (math.isfinite(scale) and scale > 0):
                raise _damaged(f"the scale of {tensor!r} is {scale}")
            if _single(scale) != scale:
                raise _damaged(f"the scale of {tensor!r} is no single-precision number")
        object.__setattr__(self, "scales", MappingProxyType(dict(sorted(self.scales.items()))))

    def __str__(self) -> str:
        lines = (f"{tensor}: {struct.pack('>f', scale).hex()}" for tensor, scale in self.scales.items())
        return "\n".join((self.header, *lines)) + "\n"

    def text_for_tensorrt(self, version: tuple[int, int, int]) -> str:
        """The text form that TensorRT ``version`` (major, minor, patch) accepts as its own."""
        calibrator = self.header.rsplit("-", 1)[1]
        return str(CalibrationTable(f"TRT-{_version_number(version)}-{calibrator}", self.scales))


def table_from_amax(method: CalibrationMethod, amax: Mapping[str, float]) -> CalibrationTable:
    """A table from the largest magnitude kept of each tensor.

    TensorRT has no percentile calibrator; such a table is read by the entropy calibrator, which is the default one.
    """
    header = f"TRT-{_version_number(_STORED_VERSION)}-{_CALIBRATORS[method.value]}"
    return CalibrationTable(header, {tensor: _single(value / _LARGEST_INTEGER) for tensor, value in amax.items()})


def parse_table(text: str) -> CalibrationTable:
    """Read the text form; ``str(parse_table(str(table))) == str(table)``. Raises ``ModelError`` where it is damaged.

    A name may contain ``": "``; the last one separates name and scale. Entries may come in any order.
    """
    header, *lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    else:
        raise _damaged("its last line is cut off")
    scales: dict[str, float] = {}
    for number, line in enumerate(lines, start=2):
        match = _ENTRY.fullmatch(line)
        if match is None:
            raise _damaged(f"line {number} is {line[:80]!r}")
        if match["tensor"] in scales:
            raise _damaged(f"line {number} names {match['tensor']!r} again")
        (scales[match["tensor"]],) = struct.unpack(">f", bytes.fromhex(match["hex"]))
    return CalibrationTable(header, scales)


def _version_number(version: tuple[int, int, int]) -> int:
    """NV_TENSORRT_VERSION as the headers of TensorRT define it: 8600 for 8.6.0, 101303 for 10.13.3."""
    major, minor, patch = version
    return major * (1000 if major < 10 else 10000) + minor * 100 + patch


def _single(value: float) -> float:
    try:
        (single,) = struct.unpack(">f", struct.pack(">f", value))
    except OverflowError:
        return math.inf
    return float(single)


def _damaged(why: str) -> ModelError:
    return ModelError("the calibration table is damaged", why=why, fix="delete it and calibrate again")
