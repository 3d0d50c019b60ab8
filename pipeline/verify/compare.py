"""Runs a prepared model beside the original on the evaluation data. Runs in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline.errors import ModelError
from pipeline.prepare.arrays import stored_arrays
from pipeline.prepare.dataset import Dataset, open_dataset
from pipeline.prepare.onnx_model import input_facts, load_model, read_model, save_model
from pipeline.verify.comparison import PREPARED_MODEL, Comparison, comparison_to_json
from pipeline.verify.half_rounding import has_half_types, with_half_rounding
from pipeline.verify.meters import OutputMeter, Top1Meter, class_numbers
from pipeline.verify.overflow import with_overflows
from pipeline.verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Outputs = Mapping[str, npt.NDArray[Any]]


def verify_model(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Task ``verify``: compare ``request["candidate"]`` with ``request["reference"]`` and return a ``Comparison``.

    A candidate with 16-bit types is run with their rounding imitated (``half_rounding``). Holds one batch at a time.
    Raises ``ModelError`` for data or labels that do not fit, and for models that ONNX Runtime cannot run.
    """
    reference, candidate = Path(request["reference"]), Path(request["candidate"])
    dataset = open_dataset(Path(request["data"]), input_facts(reference), samples=request["samples"])
    labels = read_labels(Path(request["labels"]), dataset) if request["labels"] else None
    emulated = _emulation(candidate, folder)
    sessions = Session(reference, "original model"), Session(emulated or candidate, "prepared model")
    if sessions[0].output_names != sessions[1].output_names:
        raise ModelError(
            "the prepared model has other outputs than the original",
            why=f"{sessions[1].output_names} for {sessions[0].output_names}",
        )
    comparison = compare_sessions(
        sessions, dataset, labels, request["batch_size"], subject=PREPARED_MODEL, emulated=emulated is not None
    )
    return comparison_to_json(with_overflows(comparison, request, dataset.batches(request["batch_size"]), folder))


class Runnable(Protocol):
    """Something that computes a model's outputs: ONNX Runtime, or an engine on its GPU."""

    output_names: list[str]

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Output name -> array for one batch."""


def compare_sessions(
    sessions: tuple[Runnable, Runnable],
    dataset: Dataset,
    labels: npt.NDArray[Any] | None,
    batch_size: int,
    *,
    subject: str,
    emulated: bool = False,
) -> Comparison:
    """Run reference and candidate on every batch. ``labels`` are class numbers of shape (samples,), or ``None``.

    Raises ``ModelError`` where the reference itself gives NaN, or labels are given and no output holds classes.
    """
    meters = {name: OutputMeter(name) for name in sessions[0].output_names}
    top1 = Top1Meter(labels) if labels is not None else None
    done = 0
    for batch in dataset.batches(batch_size):
        samples = dataset.samples_in(batch)
        reference, candidate = (session.run(batch) for session in sessions)
        for name, meter in meters.items():
            _check_reference(name, reference[name], done)
            meter.add(reference[name], candidate[name], samples)
        if top1 is not None:
            top1.add(*_classes(reference, candidate, samples))
        done += samples
    figures = top1.result() if top1 is not None else (None, None, None)
    return Comparison(
        subject=subject,
        samples=len(dataset),
        emulated=emulated,
        outputs=tuple(meter.result() for meter in meters.values()),
        top1_reference=figures[0],
        top1_candidate=figures[1],
        top1_agreement=figures[2],
    )


def _emulation(candidate: Path, folder: Path) -> Path | None:
    """A model that rounds as ``candidate`` does, written into ``folder``; ``None`` where it has no 16-bit types."""
    if not has_half_types(read_model(candidate)):
        return None
    return folder / save_model(with_half_rounding(load_model(candidate)), folder)[0]


def _classes(reference: Outputs, candidate: Outputs, samples: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Class numbers by the first output that holds classes."""
    for name, values in reference.items():
        left = class_numbers(values, samples)
        if left is not None:
            right = class_numbers(candidate[name], samples)
            return left, right if right is not None else np.full_like(left, -1)
    raise ModelError(
        "no output holds classes, so that labels mean nothing",
        fix="remove `accuracy.labels`; cosine and errors are compared without them",
    )


def read_labels(path: Path, dataset: Dataset) -> npt.NDArray[np.int64]:
    """The class number of each sample of ``dataset``. Raises ``ModelError`` for a file that does not fit it."""
    if path.is_symlink() or path.suffix != ".npy":
        raise ModelError("the labels are not a .npy file", fix="save them with numpy.save", where=str(path))
    (array,) = stored_arrays(path)
    if array.dtype.kind not in "iu" or len(array.shape) != 1:
        raise ModelError(
            f"the labels are {array.dtype.name} of shape {array.shape}",
            fix="give one whole number per sample, on one axis",
            where=str(path),
        )
    if array.shape[0] != dataset.available:
        raise ModelError(
            f"there are {array.shape[0]} labels for {dataset.available} samples",
            fix="give one label per sample, in the order of the data",
            where=str(path),
        )
    return array.all()[: len(dataset)].astype(np.int64)


def _check_reference(name: str, values: npt.NDArray[Any], done: int) -> None:
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ModelError(
            f"the original model itself gives NaN in output {name!r}, at sample {done} or soon after",
            fix="mend the model or the evaluation data; nothing can be compared with NaN",
        )
