"""The task ``reuse-table``: whether a retrained model may keep the calibration table of the earlier weights.

A calibration records the ranges that the method chose after the first samples. The retrained model runs over the same
samples, so that nothing but the weights differs; the whole data is read only where some range moved too far.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.prepare.calibration import RANGES_FILE, TABLE_FILE, measured_ranges
from pipeline.prepare.calibration_drift import drift_between_scales


def reuse_table(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Copy the table at ``request["before"]`` into ``folder`` where no range moved by more than ``request["within"]``.

    The rest of the request is that of ``calibrate``. ``before`` names ``table``, ``ranges`` (the JSON beside it) and
    the ``outcome`` of the calibration. Returns that outcome with ``reused``: ``samples``, ``tensors``, ``moved``,
    ``largest_factor`` and ``median_factor``.

    Raises ``ModelError`` with the range that moved farthest, or the tensors that are new or gone.
    """
    before = request["before"]
    known = json.loads(Path(before["ranges"]).read_text(encoding="utf-8")).get("sample")
    if known is None:
        raise ModelError("the earlier table does not tell the ranges of a sample")
    now = measured_ranges({**request, "samples": known["samples"]}, folder)
    drift = drift_between_scales(known["ranges"], now)
    if drift.gone or drift.new:
        raise ModelError(
            "other tensors have a range now", why=f"only before: {_first(drift.gone)}; only now: {_first(drift.new)}"
        )
    if drift.largest_factor > 1 + request["within"]:
        worst = drift.moved[0]
        raise ModelError(
            f"the range of {worst.tensor!r} moved by a factor of {worst.factor:.4f} on {known['samples']} samples",
            why=f"`calibration.reuse_within` allows {1 + request['within']:g}",
        )
    shutil.copyfile(before["table"], folder / TABLE_FILE)
    shutil.copyfile(before["ranges"], folder / RANGES_FILE)
    reused = {
        "samples": known["samples"],
        "tensors": len(known["ranges"]),
        "moved": len(drift.moved),
        "largest_factor": drift.largest_factor,
        "median_factor": drift.median_factor,
    }
    return {**before["outcome"], "table": TABLE_FILE, "json": RANGES_FILE, "warnings": [], "reused": reused}


def _first(tensors: tuple[str, ...]) -> str:
    return repr(tensors[0]) if tensors else "none"
