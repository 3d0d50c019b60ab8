"""A calibration table that somebody else made, held against the model whose Q/DQ nodes are to be made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ModelError
from pipeline.prepare.calibration_table import CalibrationTable
from pipeline.prepare.qdq_placement import place_pairs, range_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import NodeProto

    from pipeline.prepare.graph import GraphIndex

_NAMES_SHOWN = 10


def completed_table(
    index: GraphIndex, table: CalibrationTable, may_quantize: Callable[[NodeProto], bool], *, where: str
) -> CalibrationTable:
    """``table`` with the tensors that have the range of one in it, such as a flattened one.

    TensorRT leaves those out of its tables that it has removed before it calibrates. Raises ``ModelError`` where a
    tensor that would be quantized is missing: its layers would stay in floating point without a word.
    """
    tensors = index.inputs | set(index.producers)
    sources = {tensor: range_source(index, tensor) for tensor in tensors - table.scales.keys()}
    known = {tensor: table.scales[source] for tensor, source in sources.items() if source in table.scales}
    zeros = table.zeros | {tensor for tensor, source in sources.items() if source in table.zeros}
    completed = CalibrationTable(table.header, {**table.scales, **known}, zeros)
    wanted = [item.tensor for item in place_pairs(index, tensors, may_quantize) if not item.constant]
    missing = [tensor for tensor in dict.fromkeys(wanted) if tensor not in completed.scales and tensor not in zeros]
    if missing:
        more = f" and {len(missing) - _NAMES_SHOWN} more" if len(missing) > _NAMES_SHOWN else ""
        raise ModelError(
            f"the calibration table lacks {len(missing)} of the tensors that would be quantized",
            why=f"it has no {', '.join(map(repr, missing[:_NAMES_SHOWN]))}{more}",
            fix="make the table from this very model, or give calibration `data`",
            where=where,
        )
    return completed
