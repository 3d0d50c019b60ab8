"""What can be wrong with an ONNX model that was read: everything at once, one line each.

In this order: the versions, inputs and outputs, and every stored tensor (against the bytes that are really there,
before any are loaded); then the ONNX project's own checker with strict shape inference, and that the weights are
numbers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.prepare.onnx_graph import domain_name, graphs_of, model_inputs, nodes_of, tensors_of
from pipeline.prepare.onnx_tensors import TensorError, check_inline_data, external_data, is_external, non_finite_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onnx import ModelProto, TensorProto

_LOWEST_OPSET = 9
"""TensorRT's parser is backward compatible to opset 9 (TensorRT documentation, "ONNX Opset Guide")."""
_LOWEST_IR_VERSION = 3
"""The first IR version whose models name their opset (``onnx/docs/Versioning.md``)."""
_NAMED_AT_MOST = 10
_WEIGHTED_OPERATORS = frozenset({
    "BatchNormalization", "Conv", "ConvTranspose", "GRU", "Gemm", "GroupNormalization", "InstanceNormalization",
    "LSTM", "LayerNormalization", "MatMul", "RNN",
})  # fmt: skip


def model_problems(model: ModelProto, path: Path) -> list[str]:
    """Everything wrong with the ``model`` read from ``path`` without its external data."""
    problems = [*_version_problems(model), *_interface_problems(model), *tensor_problems(model, path.parent)]
    return problems or [*_checker_problems(path), *_number_problems(model, path.parent)]


def first_line(error: Exception) -> str:
    """The first words of a native library's message, fit for one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:400] or type(error).__name__


def _version_problems(model: ModelProto) -> Iterator[str]:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if not _LOWEST_IR_VERSION <= model.ir_version <= onnx.IR_VERSION:
        yield (
            f"IR version {model.ir_version} is not one of {_LOWEST_IR_VERSION} to {onnx.IR_VERSION},"
            f" which onnx {onnx.__version__} knows"
        )
    domains = Counter(domain_name(opset.domain) for opset in model.opset_import)
    for domain in sorted(name for name, count in domains.items() if count > 1):
        yield f"the opset of domain {domain!r} is named twice"
    if "ai.onnx" not in domains:
        yield "no opset is named for the default domain"
    for opset in model.opset_import:
        if domain_name(opset.domain) == "ai.onnx" and not _LOWEST_OPSET <= opset.version <= newest:
            yield (
                f"opset {opset.version} is not one of {_LOWEST_OPSET} to {newest}, which TensorRT's parser"
                f" and onnx {onnx.__version__} know"
            )


def _interface_problems(model: ModelProto) -> Iterator[str]:
    from onnx import TensorProto

    known = set(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
    if not model.graph.output:
        yield "the graph has no outputs"
    for word, values in (("input", model_inputs(model)), ("output", list(model.graph.output))):
        names = Counter(value.name for value in values)
        yield from (f"{word} {name!r} is declared twice" for name, count in names.items() if count > 1)
        for value in values:
            if value.type.WhichOneof("value") != "tensor_type":
                yield f"{word} {value.name!r} is not a tensor, and TensorRT takes tensors alone"
            elif value.type.tensor_type.elem_type not in known:
                yield f"{word} {value.name!r} has element type {value.type.tensor_type.elem_type}, which is unknown"
            elif word == "input" and not value.type.tensor_type.HasField("shape"):
                yield f"input {value.name!r} has no shape; name its dimensions when exporting"


def tensor_problems(model: ModelProto, folder: Path) -> Iterator[str]:
    """Stored tensors whose bytes are not all there, or lie outside ``folder``, the model's own; each fault once."""
    names_of: dict[str, list[str]] = {}
    for tensor in tensors_of(model):
        if fault := _tensor_fault(tensor, folder):
            names_of.setdefault(fault, []).append(tensor.name)
    for fault, names in names_of.items():
        yield f"tensor {names[0]!r} {fault}" + (f" (as for {len(names) - 1} more)" if len(names) > 1 else "")


def _tensor_fault(tensor: TensorProto, folder: Path) -> str:
    try:
        if is_external(tensor):
            external_data(tensor, folder)
        else:
            check_inline_data(tensor)
    except TensorError as error:
        return str(error)
    return ""


def _checker_problems(path: Path) -> Iterator[str]:
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        yield f"onnx's checker refuses it: {first_line(error)}"
    except (OSError, ValueError, RuntimeError) as error:
        yield f"onnx's checker cannot read it: {first_line(error)}"


def _number_problems(model: ModelProto, folder: Path) -> Iterator[str]:
    """NaN anywhere among the initializers; infinities only where they are weights, because masks use them."""
    weights = {name for node in nodes_of(model) if node.op_type in _WEIGHTED_OPERATORS for name in node.input[1:]}
    weights |= {name for node in nodes_of(model) if node.op_type in {"Gemm", "MatMul"} for name in node.input}
    found: dict[str, list[str]] = {}
    for tensor in _initializers(model):
        kinds = non_finite_kinds(tensor, folder)
        for kind in sorted(kinds):
            if kind == "NaN" or tensor.name in weights:
                found.setdefault(kind, []).append(tensor.name)
    for kind, names in sorted(found.items()):
        shown = ", ".join(names[:_NAMED_AT_MOST])
        more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
        yield f"{len(names)} initializer{'s hold' if len(names) > 1 else ' holds'} {kind}: {shown}{more}"


def _initializers(model: ModelProto) -> Iterator[TensorProto]:
    for graph in graphs_of(model):
        yield from graph.initializer
