"""The task ``calibrate``: choose the range that INT8 keeps of each tensor, by what a run over the data has shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.digest import canonical_json
from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod
from pipeline.paths import write_bytes_atomically
from pipeline.prepare.calibration_run import CalibrationRun
from pipeline.prepare.calibration_table import table_from_amax
from pipeline.prepare.clipping import amax_from_histogram
from pipeline.prepare.dataset_files import dataset_digest
from pipeline.prepare.qdq_placement import range_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.prepare.calibration_table import CalibrationTable
    from pipeline.prepare.graph import GraphIndex
    from pipeline.prepare.histogram import MagnitudeHistogram

TABLE_FILE = "calibration.table"
RANGES_FILE = "calibration.json"


def calibrate(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write the table and a JSON beside it into ``folder``.

    Request: ``model``, ``inputs`` (the JSON of their facts), ``data``, ``samples`` (or null), ``batch_size``,
    ``method``, ``percentile``. Result: ``table`` and ``json`` (file names), ``tensors`` and ``samples`` (counts).

    All float32 activations of the main graph are measured, also those that no Q/DQ pair will need: TensorRT 8.6 and
    10.x look up each of them. Left out, and listed in the JSON, are tensors that were always zero (nothing is known
    of their range, so what they feed stays unquantized) and tensors with an infinity or NaN (attention masks).

    Raises ``ModelError`` where the data does not fit, an output of the model is NaN or nothing was measured.
    """
    method = CalibrationMethod(request["method"])
    if method is CalibrationMethod.LEGACY:
        raise ModelError(
            "the calibration method legacy is TensorRT's own, and this model is calibrated with ONNX Runtime",
            why="its calibrators serve weakly typed builds, up to TensorRT 10, with `int8: implicit`",
            fix="use entropy, minmax or percentile",
        )
    run = CalibrationRun.from_request(request)
    sample: dict[str, float] = {}

    def take_sample(batches: int, histograms: Mapping[str, MagnitudeHistogram]) -> None:
        if batches == run.sample_batches:
            sample.update(_kept_ranges(histograms, method, float(request["percentile"])))

    histograms = run.histograms(folder, take_sample)
    _refuse_nan_outputs(run.index, histograms)
    table, ranges = _table_from_histograms(run.index, histograms, method, float(request["percentile"]))
    description = {
        "method": method.value,
        "percentile": float(request["percentile"]) if method is CalibrationMethod.PERCENTILE else None,
        "samples": len(run.dataset),
        "batch_size": run.batch_size,
        "data": str(dataset_digest(Path(request["data"]))),
        "tools": _tool_versions(),
        "sample": {"samples": run.sample_samples, "ranges": sample},
        **ranges,
    }
    write_bytes_atomically(folder / TABLE_FILE, str(table).encode())
    write_bytes_atomically(folder / RANGES_FILE, canonical_json(description))
    return {"table": TABLE_FILE, "json": RANGES_FILE, "tensors": len(table.scales), "samples": len(run.dataset)}


def measured_ranges(request: dict[str, Any], folder: Path) -> dict[str, float]:
    """Tensor -> the largest magnitude that the method keeps, over the samples of a request as ``calibrate`` takes it.

    Nothing stays in ``folder``. Raises what ``calibrate`` raises.
    """
    run = CalibrationRun.from_request(request)
    histograms = run.histograms(folder)
    _refuse_nan_outputs(run.index, histograms)
    return _kept_ranges(histograms, CalibrationMethod(request["method"]), float(request["percentile"]))


def _kept_ranges(
    histograms: Mapping[str, MagnitudeHistogram], method: CalibrationMethod, percentile: float
) -> dict[str, float]:
    kept = {
        tensor: amax_from_histogram(histogram, method, percentile)
        for tensor, histogram in histograms.items()
        if histogram.finite
    }
    return {tensor: amax for tensor, amax in kept.items() if amax > 0}


def _refuse_nan_outputs(index: GraphIndex, histograms: Mapping[str, MagnitudeHistogram]) -> None:
    broken = sorted(tensor for tensor in index.outputs if tensor in histograms and not histograms[tensor].finite)
    if broken:
        raise ModelError(
            f"the model computes NaN or infinity on the calibration data, in its output {broken[0]!r}",
            fix="check that the data is preprocessed as the model expects, and that its weights are sound",
        )


def _table_from_histograms(
    index: GraphIndex, histograms: Mapping[str, MagnitudeHistogram], method: CalibrationMethod, percentile: float
) -> tuple[CalibrationTable, dict[str, Any]]:
    ranges: dict[str, dict[str, float]] = {}
    amax: dict[str, float] = {}
    for tensor, histogram in histograms.items():
        kept = amax_from_histogram(histogram, method, percentile) if histogram.finite else 0.0
        if kept > 0:
            amax[tensor] = kept
            ranges[tensor] = {
                "largest": histogram.largest,
                "amax": kept,
                "scale": kept / 127,
                "clipped_share": histogram.share_above(kept),
            }
    silent = sorted(tensor for tensor, histogram in histograms.items() if histogram.finite and tensor not in amax)
    infinite = sorted(tensor for tensor, histogram in histograms.items() if not histogram.finite)
    if not amax:
        raise ModelError(
            "no tensor of the model is ever anything but zero on the calibration data",
            fix="check that the calibration data is what the model expects",
        )
    for tensor in index.producers:
        source = range_source(index, tensor)
        if source != tensor and source in amax:
            amax[tensor] = amax[source]
    return table_from_amax(method, amax), {"tensors": ranges, "always_zero": silent, "not_finite": infinite}


def _tool_versions() -> dict[str, str]:
    import onnx
    import onnxruntime

    return {"numpy": np.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
