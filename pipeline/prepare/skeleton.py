"""A model without its large weights, for the parts of onnx that copy a model through protobuf.

Shape inference and the version converter serialize the whole model, which protobuf refuses above 2 GiB. Neither looks
at the values of large tensors. So these are set aside, stand in as graph inputs of the same type and shape, and come
back afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ModelError
from pipeline.prepare.onnx_graph import name_nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto, TensorProto, ValueInfoProto

_LARGE_ELEMENTS = 1024


def inferred_values(model: ModelProto) -> tuple[ValueInfoProto, ...]:
    """Inputs, outputs and every value between whose type onnx can infer, in the main graph."""
    import onnx

    light, _ = _without_large_weights(model)
    inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    return (*inferred.input, *inferred.output, *inferred.value_info)


def with_inferred_values(model: ModelProto) -> ModelProto:
    """The same model with the inferred types and shapes of the values in every graph."""
    import onnx

    return _through(model, lambda light: onnx.shape_inference.infer_shapes(light, data_prop=True))


def with_opset(model: ModelProto, least: int) -> ModelProto:
    """The same model in opset ``least`` of the default domain; unchanged where it has that opset or a later one.

    Raises ``ModelError``.
    """
    import onnx

    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    if opset >= least:
        return model
    try:
        lifted = _through(model, lambda light: onnx.version_converter.convert_version(light, least))
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"the model cannot be lifted from opset {opset} to {least}, which this precision needs",
            why=str(error).strip().split("\n", 1)[0],
            fix=f"export the model again with opset {least} or later",
        ) from error
    name_nodes(lifted)
    return lifted


def _through(model: ModelProto, change: Callable[[ModelProto], ModelProto]) -> ModelProto:
    light, large = _without_large_weights(model)
    stand_ins = {tensor.name for tensor in large} - {value.name for value in model.graph.input}
    changed = change(light)
    inputs = [value for value in changed.graph.input if value.name not in stand_ins]
    del changed.graph.input[:]
    changed.graph.input.extend(inputs)
    changed.graph.initializer.extend(large)
    return changed


def _without_large_weights(model: ModelProto) -> tuple[ModelProto, tuple[TensorProto, ...]]:
    import onnx

    graph = model.graph
    light = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _assign(light, field.name, value)
    for field, value in graph.ListFields():
        if field.name != "initializer":
            _assign(light.graph, field.name, value)
    large = tuple(tensor for tensor in graph.initializer if _elements(tensor) > _LARGE_ELEMENTS)
    names = {tensor.name for tensor in large}
    light.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name not in names)
    known = {value.name for value in graph.input}
    light.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in large
        if tensor.name not in known
    )
    return light, large


def _assign(message: object, field: str, value: object) -> None:
    target = getattr(message, field)
    if hasattr(target, "MergeFrom"):
        target.MergeFrom(value)
    else:
        setattr(message, field, value)


def _elements(tensor: TensorProto) -> int:
    count = 1
    for dimension in tensor.dims:
        count *= dimension
    return count
