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
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.manifest.types import CalibrationMethod

_LEGACY_FIRST_LINE = re.compile(r"[0-9]+ [0-9a-f]{16} [0-9a-f]{16}")
"""What TensorRT 8.6's legacy calibrator writes in place of a header: a number, regression cutoff and quantile."""
_HEADER = re.compile(r"TRT-[0-9]{4,6}-[A-Za-z0-9]{1,40}")
_ENTRY = re.compile(r"(?P<tensor>.+): (?P<hex>[0-9a-fA-F]{1,8})")
_STORED_VERSION = (10, 0, 0)
_CALIBRATORS = {"entropy": "EntropyCalibration2", "minmax": "MinMaxCalibration", "percentile": "EntropyCalibration2"}
_LARGEST_INTEGER = 127.0
_MOST_FAULTS = 10
_MOST_BYTES = 64 << 20
_GIVEN_FIX = "correct the file, or give `data` in its place"


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """Tensor name -> scale (float32, finite and above zero). ``header`` is the first line of the text form.

    ``zeros`` are tensors that were always zero: they are known, and have no range that could be kept.

    Raises ``ModelError`` where there is no entry, a scale that is not such a number, or a name that cannot be
    written on one line.
    """

    header: str
    scales: Mapping[str, float]
    zeros: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if _HEADER.fullmatch(self.header) is None:
            raise _damaged(f"its first line is {self.header[:80]!r}")
        if not self.scales:
            raise _damaged("it has no entry")
        for tensor, scale in self.scales.items():
            if not _is_name(tensor):
                raise _damaged(f"{tensor[:80]!r} cannot be a tensor's name")
            if not (math.isfinite(scale) and scale > 0):
                raise _damaged(f"the scale of {tensor!r} is {scale}")
            if _single(scale) != scale:
                raise _damaged(f"the scale of {tensor!r} is no single-precision number")
        object.__setattr__(self, "scales", MappingProxyType(dict(sorted(self.scales.items()))))

    def __str__(self) -> str:
        entries = {**self.scales, **dict.fromkeys(self.zeros, 0.0)}
        lines = (f"{tensor}: {struct.pack('>f', entries[tensor]).hex()}" for tensor in sorted(entries))
        return "\n".join((self.header, *lines)) + "\n"

    def text_for_tensorrt(self, version: tuple[int, int, int]) -> str:
        """The text form that TensorRT ``version`` (major, minor, patch) accepts as its own.

        Tensors that were always zero are left out, so that TensorRT leaves alone what they feed. Only the min-max
        calibrator keeps its name: a scale is a scale, and the legacy one would be asked for settings that a table
        does not tell.
        """
        calibrator = _CALIBRATORS["minmax" if self.header.endswith("-MinMaxCalibration") else "entropy"]
        return str(CalibrationTable(f"TRT-{_version_number(version)}-{calibrator}", self.scales))


class _Entry(NamedTuple):
    line: int
    tensor: str
    digits: str
    scale: float


def table_from_amax(method: CalibrationMethod, amax: Mapping[str, float]) -> CalibrationTable:
    """A table from the largest magnitude kept of each tensor.

    TensorRT has no percentile calibrator; such a table is read by the entropy calibrator, which is the default one.
    """
    header = f"TRT-{_version_number(_STORED_VERSION)}-{_CALIBRATORS[method.value]}"
    return CalibrationTable(header, {tensor: _single(value / _LARGEST_INTEGER) for tensor, value in amax.items()})


def headed(text: str, version: tuple[int, int, int]) -> str:
    """``text`` as TensorRT ``version`` wrote it, with the header that its legacy calibrator leaves out."""
    first, separator, entries = text.partition("\n")
    if _LEGACY_FIRST_LINE.fullmatch(first) is None:
        return text
    return f"TRT-{_version_number(version)}-LegacyCalibration{separator}{entries}"


def parse_table(text: str) -> CalibrationTable:
    """Read the text form; ``str(parse_table(str(table))) == str(table)``.

    A name may contain ``": "``; the last one separates name and scale. Entries may come in any order. Raises
    ``ModelError`` with what is wrong, line by line, where it is damaged.
    """
    header, entries, faults = _read(text)
    for entry in entries:
        if len(entry.digits) < 8 and entry.scale:
            faults.append((entry.line, f"has {len(entry.digits)} of a scale's 8 hexadecimal digits"))
        elif not math.isfinite(entry.scale) or math.copysign(1.0, entry.scale) < 0:
            faults.append((entry.line, f"the scale of {entry.tensor!r} is {entry.scale}"))
    if not entries and not faults:
        raise _damaged("it has no entry")
    if faults:
        told = [f"line {number}: {what}" for number, what in sorted(faults)]
        more = [f"and {len(told) - _MOST_FAULTS} more"] if len(told) > _MOST_FAULTS else []
        raise _damaged("; ".join((*told[:_MOST_FAULTS], *more)))
    return _table(header, entries)


def read_table(path: Path, *, fix: str = _GIVEN_FIX) -> CalibrationTable:
    """The table in the file ``path``, which somebody else may have written. Raises ``ModelError`` that names it."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _damaged(f"it is larger than {_MOST_BYTES >> 20} MiB")
        return parse_table(data.decode())
    except UnicodeDecodeError as error:
        raise ModelError(
            "the calibration table is damaged", why=f"byte {error.start} is not UTF-8", fix=fix, where=str(path)
        ) from error
    except ModelError as error:
        raise ModelError(error.what, why=error.why, fix=fix, where=str(path)) from error


def table_from_tensorrt(text: str) -> tuple[CalibrationTable, tuple[str, ...]]:
    """The table that TensorRT itself has just written, and the tensors left out of it as not finite.

    TensorRT prints a scale without leading zeros. Raises ``ModelError`` where it wrote something else.
    """
    header, entries, faults = _read(text)
    if faults:
        raise _damaged("; ".join(f"line {number}: {what}" for number, what in faults[:_MOST_FAULTS]))
    sound = [entry for entry in entries if math.isfinite(entry.scale) and entry.scale >= 0]
    return _table(header, sound), tuple(sorted({entry.tensor for entry in entries} - {each.tensor for each in sound}))


def _read(text: str) -> tuple[str, list[_Entry], list[tuple[int, str]]]:
    """Header, entries, and faults by line number."""
    header, *lines = text.split("\n")
    faults = []
    if _HEADER.fullmatch(header) is None:
        faults.append((1, f"{header[:80]!r} is no header such as 'TRT-8600-EntropyCalibration2'"))
    if lines and not lines[-1]:
        lines.pop()
    else:
        faults.append((len(lines) + 1, "is cut off: it does not end in a line break"))
    seen: dict[str, _Entry] = {}
    for number, line in enumerate(lines, start=2):
        match = _ENTRY.fullmatch(line)
        if match is None or not _is_name(match["tensor"]):
            faults.append((number, f"{line[:80]!r} is no entry such as 'tensor: 3c010204'"))
        elif match["tensor"] in seen:
            faults.append((number, f"names {match['tensor']!r} again, after line {seen[match['tensor']].line}"))
        else:
            (scale,) = struct.unpack(">f", bytes.fromhex(match["hex"].rjust(8, "0")))
            seen[match["tensor"]] = _Entry(number, match["tensor"], match["hex"], scale)
    return header, list(seen.values()), faults


def _table(header: str, entries: list[_Entry]) -> CalibrationTable:
    scales = {entry.tensor: entry.scale for entry in entries if entry.scale}
    return CalibrationTable(header, scales, frozenset(entry.tensor for entry in entries if not entry.scale))


def _is_name(text: str) -> bool:
    return bool(text) and len(text.splitlines()) == 1 and text == text.strip()


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
