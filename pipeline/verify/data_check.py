"""Whether data and labels fit a model, by what their files say of themselves: no sample is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.prepare.dataset import open_dataset
from pipeline.prepare.facts import tensor_from_json
from pipeline.verify.compare import read_labels


def check_data(request: dict[str, Any], folder: Path) -> dict[str, Any]:  # noqa: ARG001
    """Task ``check-data``: look at ``request["data"]`` for a model with ``inputs``, and at ``labels`` unless null.

    Returns the number of ``samples`` in use, of which null asks for all. Raises ``ModelError`` for what does not fit.
    """
    inputs = tuple(map(tensor_from_json, request["inputs"]))
    dataset = open_dataset(Path(request["data"]), inputs, samples=request["samples"])
    if request["labels"]:
        read_labels(Path(request["labels"]), dataset)
    return {"samples": len(dataset)}
