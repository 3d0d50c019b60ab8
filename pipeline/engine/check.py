"""Runs an engine beside the original model on the evaluation data. Runs in a child process, on device 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.engine.batches import BatchSizes, FilledBatches
from pipeline.engine.runner import Engine
from pipeline.errors import ModelError
from pipeline.prepare.dataset import open_dataset
from pipeline.prepare.onnx_model import input_facts
from pipeline.verify.compare import compare_sessions, read_labels
from pipeline.verify.comparison import ENGINE, comparison_to_json
from pipeline.verify.overflow import with_overflows
from pipeline.verify.session import Session


def verify_engine(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Task ``verify-engine``: compare ``request["engine"]`` with the ONNX file ``request["reference"]``.

    The engine needs the libraries ``request["plugins"]``. Batches are of ``request["batch_size"]`` samples as far as
    its profiles take them. The reference runs in FP32 with ONNX Runtime. Returns a ``Comparison`` whose subject is the
    engine. Raises ``ModelError`` for data that does not fit, ``BuildError`` where the engine cannot be loaded or run.
    """
    reference = Path(request["reference"])
    dataset = open_dataset(Path(request["data"]), input_facts(reference), samples=request["samples"])
    labels = read_labels(Path(request["labels"]), dataset) if request["labels"] else None
    original, engine = Session(reference, "original model"), Engine(Path(request["engine"]), plugins=request["plugins"])
    if set(original.output_names) != set(engine.output_names):
        raise ModelError(
            "the engine has other outputs than the original",
            why=f"{engine.output_names} for {original.output_names}",
        )
    sizes = BatchSizes(engine.batch_ranges)
    batch_size = sizes.nearest(request["batch_size"])
    fitted = engine if dataset.apart else FilledBatches(engine, sizes)
    comparison = compare_sessions((original, fitted), dataset, labels, batch_size, subject=ENGINE)
    return comparison_to_json(with_overflows(comparison, request, dataset.batches(batch_size), folder))
