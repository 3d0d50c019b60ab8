"""Gives TensorRT 8.6 and 10.x a calibration table that is there already, under the version that they ask for.

TensorRT reads a table only under its own version number and else calibrates anew without a word (seen with 8.6.0: a
table headed ``TRT-100000`` was not used). A calibrator that has no data notices that and says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pipeline.build.expected_tensors import expected_tensors, require_tensors
from pipeline.prepare.calibration_table import read_table

if TYPE_CHECKING:
    from pathlib import Path

_BATCH_SIZE = 1
_FIX = "make the table from this very model, or give calibration `data`"


def table_calibrator(trt: Any, path: Path, network: Any) -> Any:
    """A calibrator for the module ``trt`` that holds the table at ``path`` and no data.

    Its attribute ``refused`` is true after a build in which TensorRT asked for data in spite of the table. Raises
    ``ModelError`` where the table is damaged, or lacks tensors that INT8 layers of ``network`` read: TensorRT would
    leave these layers in floating point, and say so in a warning alone.
    """
    table = read_table(path)
    require_tensors(table, expected_tensors(network), where=str(path), fix=_FIX)
    major, minor, patch = (int(part) for part in re.findall(r"\d+", trt.__version__)[:3])
    text = table.text_for_tensorrt((major, minor, patch)).encode()
    minmax = b"-MinMaxCalibration\n" in text
    base = trt.IInt8MinMaxCalibrator if minmax else trt.IInt8EntropyCalibrator2

    class TableCalibrator(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            base.__init__(self)
            self.refused = False

        def get_batch_size(self) -> int:
            return _BATCH_SIZE

        def get_batch(self, names: list[str]) -> None:  # noqa: ARG002
            self.refused = True

        def read_calibration_cache(self) -> bytes:
            return text

        def write_calibration_cache(self, cache: memoryview) -> None:
            """Nothing to keep: the table is the artefact."""

    return TableCalibrator()
