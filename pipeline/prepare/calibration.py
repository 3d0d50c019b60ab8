"""The task ``calibrate``: run a model over representative data and choose the range that INT8 keeps of each tensor.

onnxruntime runs the original model and hands out every activation; the histograms are this project's own.
onnxruntime.quantization's are fixed to 128 bins under ``quantize_static``, where entropy never clips, and grow
without bound where a later batch has a much larger maximum than the first.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.digest import canonical_json
from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod
from pipeline.paths import write_bytes_atomically
from pipeline.prepare.calibration_table import table_from_amax
from pipeline.prepare.clipping import amax_from_histogram
from pipeline.prepare.dataset import open_dataset
from pipeline.prepare.dataset_files import dataset_digest
from pipeline.prepare.facts import tensor_from_json
from pipeline.prepare.graph import index_from_model
from pipeline.prepare.histogram import MagnitudeHistogram
from pipeline.prepare.onnx_model import load_model, save_model
from pipeline.prepare.qdq_placement import range_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from onnx import ModelProto

    from pipeline.prepare.calibration_table import CalibrationTable
    from pipeline.prepare.dataset import Dataset
    from pipeline.prepare.graph import GraphIndex

TABLE_FILE = "calibration.table"
RANGES_FILE = "calibration.json"
SAMPLE = 32
"""How many samples, rounded up to whole batches, tell whether a retrained model may keep a table."""
_Batch = dict[str, "np.ndarray[Any, Any]"]
"""Arrays by input name, with the samples along axis 0."""


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
    run = _Run.from_request(request)
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
    run = _Run.from_request(request)
    histograms = run.histograms(folder)
    _refuse_nan_outputs(run.index, histograms)
    return _kept_ranges(histograms, CalibrationMethod(request["method"]), float(request["percentile"]))


@dataclass(frozen=True, slots=True)
class _Run:
    """One pass over the data. ``measured`` are the tensors with a histogram."""

    model: ModelProto
    index: GraphIndex
    measured: tuple[str, ...]
    dataset: Dataset
    batch_size: int

    @staticmethod
    def from_request(request: dict[str, Any]) -> _Run:
        model = load_model(Path(request["model"]))
        inputs = tuple(tensor_from_json(item) for item in request["inputs"])
        dataset = open_dataset(Path(request["data"]), inputs, samples=request["samples"])
        index = index_from_model(model)
        measured = measured_tensors(index)
        if not measured:
            raise ModelError(
                "the model computes no float32 tensor, so there is nothing to calibrate",
                fix="give the FP32 model, or take int8 out of its precisions",
            )
        return _Run(model, index, measured, dataset, dataset.fixed_batch_size or int(request["batch_size"]))

    @property
    def sample_samples(self) -> int:
        """How many samples the sample has: whole batches, unless the data ends before."""
        return min(len(self.dataset), -(-SAMPLE // self.batch_size) * self.batch_size)

    @property
    def sample_batches(self) -> int:
        """How many batches these are."""
        return -(-self.sample_samples // self.batch_size)

    def histograms(
        self,
        folder: Path,
        after_batch: Callable[[int, Mapping[str, MagnitudeHistogram]], None] = lambda batches, histograms: None,  # noqa: ARG005
    ) -> dict[str, MagnitudeHistogram]:
        """Those of every measured tensor. ``after_batch`` is told how many batches they hold by now."""
        found = {tensor: MagnitudeHistogram() for tensor in self.measured}
        scratch = folder / "instrumented"
        scratch.mkdir()
        batches = self.dataset.batches(self.batch_size)
        for number, activations in enumerate(_activations(self.model, self.measured, batches, scratch), start=1):
            for tensor, values in activations.items():
                found[tensor].add(values)
            after_batch(number, found)
        shutil.rmtree(scratch)
        return found


def _kept_ranges(
    histograms: Mapping[str, MagnitudeHistogram], method: CalibrationMethod, percentile: float
) -> dict[str, float]:
    kept = {
        tensor: amax_from_histogram(histogram, method, percentile)
        for tensor, histogram in histograms.items()
        if histogram.finite
    }
    return {tensor: amax for tensor, amax in kept.items() if amax > 0}


def measured_tensors(index: GraphIndex) -> tuple[str, ...]:
    """Float32 activations in the order of their names, less those whose range is that of an earlier tensor."""
    from onnx import TensorProto

    candidates = (index.inputs | set(index.producers)) - index.constants
    return tuple(
        sorted(
            tensor
            for tensor in candidates
            if index.element_types.get(tensor) == TensorProto.FLOAT and range_source(index, tensor) == tensor
        )
    )


def _activations(
    model: ModelProto,
    measured: tuple[str, ...],
    batches: Iterator[_Batch],
    folder: Path,
) -> Iterator[_Batch]:
    """The measured tensors of each batch. Single-threaded and unoptimized: the same values on each run."""
    import onnx
    import onnxruntime

    inputs = {value.name for value in model.graph.input}
    outputs = {value.name for value in model.graph.output}
    added = [tensor for tensor in measured if tensor not in outputs and tensor not in inputs]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None) for tensor in added
    )
    path = folder / save_model(model, folder)[0]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    wanted = [tensor for tensor in measured if tensor not in inputs]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for batch in batches:
            computed = dict(zip(wanted, session.run(wanted, batch), strict=True)) if wanted else {}
            computed.update((tensor, values) for tensor, values in batch.items() if tensor in measured)
            yield computed
    except _runtime_errors() as error:
        raise ModelError(
            "onnxruntime cannot run the model on the calibration data",
            why=str(error).strip().split("\n", 1)[0],
            fix="check the data's shapes against the model's inputs",
        ) from error


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "NotImplemented", "RuntimeException")
    return tuple(getattr(state, name) for name in names)


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
