"""Running a model over representative data, with a histogram of every activation.

onnxruntime runs the original model and hands out every activation; the histograms are this project's own.
onnxruntime.quantization's are fixed to 128 bins under ``quantize_static``, where entropy never clips, and grow
without bound where a later batch has a much larger maximum than the first.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.prepare.dataset import open_dataset
from pipeline.prepare.facts import tensor_from_json
from pipeline.prepare.graph import index_from_model
from pipeline.prepare.histogram import MagnitudeHistogram
from pipeline.prepare.onnx_model import load_model, save_model
from pipeline.prepare.qdq_placement import range_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from onnx import ModelProto

    from pipeline.prepare.dataset import Dataset
    from pipeline.prepare.graph import GraphIndex

SAMPLE = 32
"""How many samples, rounded up to whole batches, tell whether a retrained model may keep a table."""
_Batch = dict[str, "np.ndarray[Any, Any]"]
"""Arrays by input name, with the samples along axis 0."""


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """One pass of ``model`` over ``dataset``. ``measured`` are the tensors that get a histogram."""

    model: ModelProto
    index: GraphIndex
    measured: tuple[str, ...]
    dataset: Dataset
    batch_size: int

    @staticmethod
    def from_request(request: dict[str, Any]) -> CalibrationRun:
        """The run of a request as ``calibrate`` takes it. Raises ``ModelError`` where nothing can be measured."""
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
        return CalibrationRun(model, index, measured, dataset, dataset.fixed_batch_size or int(request["batch_size"]))

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
        """Those of every measured tensor. ``after_batch`` is told how many batches they hold by now.

        Nothing stays in ``folder``. Raises ``ModelError`` where the data does not fit the model.
        """
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
