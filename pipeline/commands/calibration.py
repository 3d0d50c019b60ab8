"""``calibration diff``: which INT8 ranges moved between two calibration tables, and how far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ModelError
from pipeline.prepare.calibration_drift import drift_between
from pipeline.prepare.calibration_table import read_table
from pipeline.publish.escape import one_line
from pipeline.publish.json_output import print_json

if TYPE_CHECKING:
    import argparse

    from pipeline.prepare.calibration_drift import Drift
    from pipeline.prepare.calibration_table import CalibrationTable

_LARGEST_INTEGER = 127
_NAME_CHARS = 60
_FIX = "give two tables in TensorRT's text form"


def run_calibration_diff(options: argparse.Namespace) -> int:
    """Print the drift from the table ``options.before`` to ``options.after``. Raises ``ModelError``."""
    before, after = _read(options.before), _read(options.after)
    drift = drift_between(before, after)
    if options.json:
        print_json(_json(before, after, drift))
        return 0
    print(_summary(drift))
    shown = drift.moved if options.all else drift.moved[: max(0, options.most)]
    if shown:
        print(f"{'largest magnitude kept':>31}  {'ratio':>8}  tensor")
    for each in shown:
        before_text, after_text = (f"{scale * _LARGEST_INTEGER:.6g}" for scale in (each.before, each.after))
        print(f"{before_text:>14} -> {after_text:>13}  {each.ratio:8.4f}  {one_line(each.tensor, _NAME_CHARS)}")
    if len(shown) < len(drift.moved):
        print(f"and {len(drift.moved) - len(shown)} that moved less: add --all to see them")
    for title, tensors in (("only in the first", drift.gone), ("only in the second", drift.new)):
        for tensor in tensors if options.all else tensors[: max(0, options.most)]:
            print(f"{title}: {one_line(tensor, _NAME_CHARS)}")
    return 0


def _read(path: str) -> CalibrationTable:
    try:
        return read_table(Path(path), fix=_FIX)
    except OSError as error:
        raise ModelError(f"{path} cannot be read", why=error.strerror or str(error), fix=_FIX) from error


def _summary(drift: Drift) -> str:
    both = len(drift.moved) + drift.same
    text = f"{both} tensors in both tables, {len(drift.moved)} moved"
    if drift.moved:
        text += f", by at most a factor of {drift.largest_factor:.4f} (median {drift.median_factor:.4f})"
    return f"{text}; {len(drift.gone)} only in the first, {len(drift.new)} only in the second"


def _json(before: CalibrationTable, after: CalibrationTable, drift: Drift) -> dict[str, object]:
    return {
        "headers": [before.header, after.header],
        "both": len(drift.moved) + drift.same,
        "same": drift.same,
        "largest_factor": drift.largest_factor,
        "median_factor": drift.median_factor,
        "moved": [
            {"tensor": each.tensor, "before": each.before, "after": each.after, "ratio": each.ratio}
            for each in drift.moved
        ],
        "only_in_first": list(drift.gone),
        "only_in_second": list(drift.new),
    }
