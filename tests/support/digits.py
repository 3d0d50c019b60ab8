"""The model of examples/digits for jobs of TensorRT-RTX, which builds without a GPU."""

from __future__ import annotations

import shutil
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples/digits"


def copy_of_example(folder: Path, *names: str) -> Path:
    """``folder``, which is there, with those files of the example."""
    for name in names:
        shutil.copy(EXAMPLE / name, folder)
    return folder


def digits_manifest(*keys: str, precision: str = "int8", compute_capabilities: tuple[str, ...] = ("8.9",)) -> str:
    """A manifest of one job for each GPU; ``keys`` are further lines of the model, like ``calibration: {…}``."""
    targets = ", ".join(f'{{compute_capability: "{number}", runtime: tensorrt-rtx}}' for number in compute_capabilities)
    lines = (
        "version: 1",
        "models:",
        "  - name: digits",
        "    onnx: model.onnx",
        "    profiles:",
        "      - image: {min: [1, 1, 8, 8], opt: [8, 1, 8, 8], max: [32, 1, 8, 8]}",
        f"    targets: [{targets}]",
        f"    precisions: [{precision}]",
        *(f"    {key}" for key in keys),
    )
    return "\n".join(lines) + "\n"
