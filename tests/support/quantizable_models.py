"""Small ONNX models with the structures that quantization must get right, with fixed weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import ModelProto, NodeProto


def model_from(
    nodes: Sequence[NodeProto],
    *,
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    weights: Mapping[str, np.ndarray],
    opset: int = 17,
) -> ModelProto:
    """A checked model with float32 inputs and outputs; nodes without a name are called ``node_0``, ``node_1`` …"""
    for position, node in enumerate(nodes):
        node.name = node.name or f"node_{position}"
    graph = helper.make_graph(
        list(nodes),
        "main",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model


def residual_cnn(opset: int = 17) -> ModelProto:
    """``x`` [N, 3, 16, 16] -> ``logits`` [N, 10]: Conv-BN-Relu, MaxPool, a residual block, poolings, Gemm."""
    rng = np.random.default_rng(1)
    weights = {
        "w1": _normal(rng, 8, 3, 3, 3),
        **_norm(rng, "n1", 8),
        "w2": _normal(rng, 8, 8, 3, 3),
        **_norm(rng, "n2", 8),
        "w3": _normal(rng, 8, 8, 3, 3),
        "b3": _normal(rng, 8),
        "w4": _normal(rng, 10, 8),
        "b4": _normal(rng, 10),
    }
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w1"], ["c1"], "conv1", pads=[1] * 4, kernel_shape=[3, 3]),
        make("BatchNormalization", ["c1", *_norm_names("n1")], ["bn1"], "norm1"),
        make("Relu", ["bn1"], ["r1"], "relu1"),
        make("MaxPool", ["r1"], ["p1"], "maxpool", kernel_shape=[2, 2], strides=[2, 2]),
        make("Conv", ["p1", "w2"], ["c2"], "conv2", pads=[1] * 4, kernel_shape=[3, 3]),
        make("BatchNormalization", ["c2", *_norm_names("n2")], ["bn2"], "norm2"),
        make("Relu", ["bn2"], ["r2"], "relu2"),
        make("Conv", ["r2", "w3", "b3"], ["c3"], "conv3", pads=[1] * 4, kernel_shape=[3, 3]),
        make("Add", ["c3", "p1"], ["sum"], "residual"),
        make("Relu", ["sum"], ["r3"], "relu3"),
        make("AveragePool", ["r3"], ["p2"], "avgpool", kernel_shape=[2, 2], strides=[2, 2]),
        make("GlobalAveragePool", ["p2"], ["p3"], "globalpool"),
        make("Flatten", ["p3"], ["f"], "flatten"),
        make("Gemm", ["f", "w4", "b4"], ["logits"], "gemm", transB=1),
    ]
    return model_from(
        nodes, inputs={"x": ["N", 3, 16, 16]}, outputs={"logits": ["N", 10]}, weights=weights, opset=opset
    )


def transformer_block() -> ModelProto:
    """``x`` [N, 8, 32] -> ``y`` [N, 8, 32]: one-head attention and a feed-forward part with Gelu, both residual."""
    rng = np.random.default_rng(2)
    width, inner = 32, 64
    weights = {name: _normal(rng, width, width) for name in ("wq", "wk", "wv", "wo")}
    weights |= {"w1": _normal(rng, width, inner), "w2": _normal(rng, inner, width), "b1": _normal(rng, inner)}
    for name in ("g1", "g2"):
        weights[name] = np.ones(width, np.float32)
    for name in ("h1", "h2"):
        weights[name] = np.zeros(width, np.float32)
    weights |= {
        "root": np.float32(width**-0.5).reshape(()),
        "half": np.float32(0.5).reshape(()),
        "one": np.float32(1).reshape(()),
        "sqrt2": np.float32(2**0.5).reshape(()),
    }
    make = helper.make_node
    nodes = [
        make("LayerNormalization", ["x", "g1", "h1"], ["ln1"], "norm1"),
        make("MatMul", ["ln1", "wq"], ["q"], "query"),
        make("MatMul", ["ln1", "wk"], ["k"], "key"),
        make("MatMul", ["ln1", "wv"], ["v"], "value"),
        make("Transpose", ["k"], ["kt"], "key_transposed", perm=[0, 2, 1]),
        make("MatMul", ["q", "kt"], ["raw"], "scores"),
        make("Mul", ["raw", "root"], ["scaled"], "scale"),
        make("Softmax", ["scaled"], ["p"], "softmax"),
        make("MatMul", ["p", "v"], ["a"], "context"),
        make("MatMul", ["a", "wo"], ["o"], "out"),
        make("Add", ["x", "o"], ["s1"], "residual1"),
        make("LayerNormalization", ["s1", "g2", "h2"], ["ln2"], "norm2"),
        make("MatMul", ["ln2", "w1"], ["u0"], "up"),
        make("Add", ["u0", "b1"], ["u"], "up_bias"),
        make("Div", ["u", "sqrt2"], ["u1"], "gelu_div"),
        make("Erf", ["u1"], ["u2"], "gelu_erf"),
        make("Add", ["u2", "one"], ["u3"], "gelu_add"),
        make("Mul", ["u", "u3"], ["u4"], "gelu_mul"),
        make("Mul", ["u4", "half"], ["gelu"], "gelu_half"),
        make("MatMul", ["gelu", "w2"], ["d"], "down"),
        make("Add", ["s1", "d"], ["y"], "residual2"),
    ]
    return model_from(nodes, inputs={"x": ["N", 8, width]}, outputs={"y": ["N", 8, width]}, weights=weights)


def depthwise_decoder() -> ModelProto:
    """``x`` [N, 8, 8, 8] -> ``y`` [N, 4, 32, 32]: depthwise Conv, ConvTranspose, Resize, grouped ConvTranspose."""
    rng = np.random.default_rng(3)
    weights = {
        "wd": _normal(rng, 8, 1, 3, 3),
        "wt": _normal(rng, 8, 4, 2, 2),
        "bt": _normal(rng, 4),
        "sizes": np.array([1, 1, 2, 2], np.float32),
        "wg": _normal(rng, 4, 1, 3, 3),
    }
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "wd"], ["d"], "depthwise", group=8, pads=[1] * 4, kernel_shape=[3, 3]),
        make("Relu", ["d"], ["r"], "relu"),
        make("ConvTranspose", ["r", "wt", "bt"], ["t"], "transposed", strides=[2, 2], kernel_shape=[2, 2]),
        make("Resize", ["t", "", "sizes"], ["big"], "resize", mode="nearest"),
        make("ConvTranspose", ["big", "wg"], ["y"], "grouped", group=4, pads=[1] * 4, kernel_shape=[3, 3]),
    ]
    return model_from(nodes, inputs={"x": ["N", 8, 8, 8]}, outputs={"y": ["N", 4, 32, 32]}, weights=weights)


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    fan_in = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
    values: np.ndarray = (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    return values


def _norm_names(prefix: str) -> list[str]:
    return [f"{prefix}_{part}" for part in ("scale", "shift", "mean", "variance")]


def _norm(rng: np.random.Generator, prefix: str, channels: int) -> dict[str, np.ndarray]:
    values = (
        rng.uniform(0.5, 1.5, channels),
        rng.normal(0, 0.2, channels),
        rng.normal(0, 0.2, channels),
        rng.uniform(0.5, 2, channels),
    )
    return {name: value.astype(np.float32) for name, value in zip(_norm_names(prefix), values, strict=True)}
