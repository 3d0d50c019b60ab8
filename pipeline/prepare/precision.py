"""The task ``prepare``: the model in the precision that a strongly typed builder shall give it."""

from __future__ import annotations

import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.near import near_spelling
from pipeline.precision import Precision
from pipeline.prepare.batch_norm import fold_batch_norms
from pipeline.prepare.calibration_table import read_table
from pipeline.prepare.constants import hoist_constants
from pipeline.prepare.given_table import completed_table
from pipeline.prepare.graph import index_from_model
from pipeline.prepare.half import to_bfloat16, to_float16
from pipeline.prepare.onnx_graph import nodes_of
from pipeline.prepare.onnx_model import MODEL_FILE, load_whole, save_model
from pipeline.prepare.quantize import HALF_SCALES_OPSET, SINGLE_SCALES_OPSET, has_quantize_nodes, quantize
from pipeline.prepare.skeleton import with_opset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ModelProto, NodeProto

    from pipeline.prepare.calibration_table import CalibrationTable
    from pipeline.prepare.quantize import Quantized

_LEAST_HALF_SCALE = float(np.finfo(np.float16).smallest_subnormal)


def prepare_model(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write the prepared model into ``folder``.

    Request: ``model``, ``precision``, ``table`` (path or null), ``table_is_given`` (whether somebody else made it, so
    that it must hold every tensor that would be quantized), ``layer_precisions`` (``[[glob, precision], …]``: no
    node that matches is quantized, and those of ``fp32`` stay FP32 in half precision too).
    Result: ``model`` and ``files`` (names), ``nodes_kept`` (how many nodes the globs name), ``quantized_nodes``,
    ``warnings``.

    FP32 and TF32 differ in the builder alone; their model is copied where all is inside and every node named, else
    written with that. A model that has Q/DQ nodes already is not quantized again. The same request gives the same
    bytes.

    Raises ``ModelError`` for a glob without a node, a table that does not fit, and a result that is not valid ONNX.
    """
    precision = Precision(request["precision"])
    given = Path(request["model"])
    model, whole = load_whole(given)
    fixed = nodes_by_lowest_precision(model, [(str(glob), str(lowest)) for glob, lowest in request["layer_precisions"]])
    table = read_table(Path(request["table"])) if precision.quantized else None
    half = precision is Precision.INT8_FP16
    warnings: list[str] = []
    quantized: Quantized | None = None
    if table is not None and has_quantize_nodes(model):
        warnings.append("the model has Q/DQ nodes of its own; they were left as they are, and the table was not used")
    elif table is not None:
        model = with_opset(model, HALF_SCALES_OPSET if half else SINGLE_SCALES_OPSET)

        def may_quantize(node: NodeProto) -> bool:
            return node.name not in fixed

        if request.get("table_is_given", False):
            hoist_constants(model)
            fold_batch_norms(model, may_quantize)
            table = completed_table(index_from_model(model), table, may_quantize, where=str(request["table"]))
        quantized = quantize(model, table, half_scales=half, may_quantize=may_quantize)
    single = [name for name, lowest in fixed.items() if lowest is Precision.FP32]
    if precision in (Precision.FP16, Precision.INT8_FP16, Precision.BF16):
        halved = (to_bfloat16 if precision is Precision.BF16 else to_float16)(model, single)
        model = halved.model
        warnings += halved.warnings
    if quantized is not None and table is not None:
        check_scales(model, quantized, table, half=half)
    if whole and precision in (Precision.FP32, Precision.TF32):
        # Nothing was changed, and the file was checked already; to write it again takes longer than to read it.
        files = [MODEL_FILE]
        shutil.copyfile(given, folder / MODEL_FILE)
    else:
        files = save_model(model, folder)
        _check(folder / files[0])
    return {
        "model": files[0],
        "files": files,
        "nodes_kept": len(fixed),
        "quantized_nodes": quantized.nodes if quantized is not None else 0,
        "warnings": warnings,
    }


def nodes_by_lowest_precision(model: ModelProto, layer_precisions: Sequence[tuple[str, str]]) -> dict[str, Precision]:
    """Node name -> the lowest precision that it may run in, for every node that a glob names; the last glob wins.

    A glob is compared with whole node names, case included. Raises ``ModelError`` for one that names no node.
    """
    names = [node.name for node in nodes_of(model)]
    lowest: dict[str, Precision] = {}
    for glob, precision in layer_precisions:
        matches = [name for name in names if fnmatchcase(name, glob)]
        if not matches:
            raise ModelError(
                f"the layer precision {glob!r} matches no node of the model",
                fix=near_spelling(glob, names) or "take it out of the manifest",
            )
        lowest.update(dict.fromkeys(matches, Precision(precision)))
    return lowest


def check_scales(model: ModelProto, quantized: Quantized, table: CalibrationTable, *, half: bool) -> None:
    """Compare the scale of each activation's Q node with the table, bit for bit; in FP16, after rounding to it.

    Raises ``ModelError`` for a scale beyond FP16, and ``AssertionError`` where the quantizer went wrong.
    """
    from onnx import numpy_helper

    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    kind = np.float16 if half else np.float32
    for activation, name in quantized.activations.items():
        scale = numpy_helper.to_array(initializers[name])
        wanted = kind(max(table.scales[activation], _LEAST_HALF_SCALE) if half else table.scales[activation])
        if not np.isfinite(wanted):
            raise ModelError(
                f"the scale of {activation!r} is beyond FP16", fix="take int8-fp16 out of the model's precisions"
            )
        if scale.dtype != kind or scale.shape != () or scale.tobytes() != wanted.tobytes():
            raise AssertionError(f"the scale of {activation!r} is {scale!r}, and the table says {wanted!r}")


def _check(path: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(
            "the prepared model is not valid ONNX",
            why=str(error).strip().split("\n", 1)[0],
            fix="take this precision out of the manifest for this model, and report the model",
        ) from error
