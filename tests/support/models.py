"""Tiny ONNX models made in memory, for tests of everything that reads models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    from onnx import ModelProto, NodeProto

    Dimensions = Sequence[int | str | None]

OPSET = 17
IR_VERSION = 8


def float32(values: object) -> npt.NDArray[np.float32]:
    """Nested lists as an array."""
    return np.array(values, np.float32)


def int64(values: object) -> npt.NDArray[np.int64]:
    """Nested lists as an array."""
    return np.array(values, np.int64)


def graph_model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[tuple[str, int, Dimensions]],
    outputs: Sequence[tuple[str, int, Dimensions | None]],
    initializers: dict[str, npt.NDArray[Any]] | None = None,
    *,
    opset: int = OPSET,
    ir_version: int = IR_VERSION,
    domains: Sequence[tuple[str, int]] = (),
) -> ModelProto:
    """A model of ``nodes``; inputs and outputs are name, ``TensorProto`` type and dimensions."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
        [numpy_helper.from_array(values, name) for name, values in (initializers or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*domain) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def linear_model(weights: npt.NDArray[np.float32] | None = None, batch: int | str = "batch") -> ModelProto:
    """``scores = features @ weights``, from (batch, rows of weights) to (batch, columns); 4 by 3 by default."""
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3) / 10 if weights is None else weights
    return graph_model(
        [helper.make_node("MatMul", ["features", "weights"], ["scores"], name="project")],
        [("features", TensorProto.FLOAT, [batch, matrix.shape[0]])],
        [("scores", TensorProto.FLOAT, [batch, matrix.shape[1]])],
        {"weights": matrix},
    )


def convolution_model(seed: int = 0, channels: int = 4, classes: int = 3) -> ModelProto:
    """A small classifier of 1x8x8 images: convolution, ReLU, residual add, pooling and a fully connected layer."""
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> npt.NDArray[np.float32]:
        return draw.normal(0, 0.5, shape).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["image", "w0", "b0"], ["c0"], name="conv0", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], name="relu0"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "r0"], ["sum"], name="residual"),
        helper.make_node("Relu", ["sum"], ["r1"], name="relu1"),
        helper.make_node("GlobalAveragePool", ["r1"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "w2", "b2"], ["scores"], name="classify"),
    ]
    initializers = {
        "w0": weights(channels, 1, 3, 3),
        "b0": weights(channels),
        "w1": weights(channels, channels, 3, 3),
        "b1": weights(channels),
        "w2": weights(channels, classes),
        "b2": weights(classes),
    }
    return graph_model(
        nodes,
        [("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [("scores", TensorProto.FLOAT, ["batch", classes])],
        initializers,
    )


def saved(model: ModelProto, path: Path) -> Path:
    """``model`` in the file ``path``, whatever is wrong with it."""
    path.write_bytes(model.SerializeToString())
    return path


def saved_externally(model: ModelProto, path: Path, location: str = "weights.bin") -> Path:
    """``model`` in ``path`` with its initializers in ``location`` beside it."""
    onnx.save_model(
        model, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location=location, size_threshold=0
    )
    return path


def with_external_entry(path: Path, **entries: str) -> Path:
    """Change, in the model at ``path``, where its first initializer says that its data lies."""
    model = onnx.load_model(str(path), load_external_data=False)
    tensor = model.graph.initializer[0]
    kept = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in kept.items():
        tensor.external_data.add(key=key, value=value)
    return saved(model, path)
