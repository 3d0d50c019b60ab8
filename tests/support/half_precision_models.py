"""Small ONNX models with the structures that converters to half precision get wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.support.quantizable_models import model_from

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_make = helper.make_node
_ROWS: list[int | str] = ["N", 4]


def output_read_inside() -> ModelProto:
    """An output of the model that another node reads too."""
    return _rows([_make("Relu", ["x"], ["a"]), _make("Exp", ["a"], ["y"])], outputs=["a", "y"])


def branches_reading_outer_tensors() -> ModelProto:
    """An If whose branches read an activation and a weight of the main graph."""
    branches = [
        helper.make_graph(
            [_make(kind, ["a", "w"], [kind], f"in_{kind}")],
            kind,
            [],
            [helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)],
        )
        for kind in ("Add", "Mul")
    ]
    nodes = [
        _make("Relu", ["x"], ["a"]),
        _make("ReduceSum", ["x"], ["total"], keepdims=0),
        _make("Greater", ["total", "zero"], ["condition"]),
        _make("If", ["condition"], ["y"], "choice", then_branch=branches[0], else_branch=branches[1]),
    ]
    return _rows(nodes, {"w": np.arange(4, dtype=np.float32), "zero": np.zeros((), np.float32)})


def cast_of_a_shape() -> ModelProto:
    """A Cast from integer to float inside the graph."""
    nodes = [
        _make("Shape", ["x"], ["shape"]),
        _make("Cast", ["shape"], ["sizes"], to=TensorProto.FLOAT),
        _make("ReduceMean", ["sizes"], ["mean"], keepdims=0),
        _make("Mul", ["x", "mean"], ["y"]),
    ]
    return _rows(nodes)


def constant_of_shape() -> ModelProto:
    """A float tensor that a shape makes."""
    value = numpy_helper.from_array(np.array([2], np.float32))
    nodes = [
        _make("Shape", ["x"], ["shape"]),
        _make("ConstantOfShape", ["shape"], ["twos"], value=value),
        _make("Mul", ["x", "twos"], ["y"]),
    ]
    return _rows(nodes)


def counting_range() -> ModelProto:
    """A Range, which FP16 has no form of."""
    weights = {name: np.float32(value).reshape(()) for name, value in (("start", 0), ("end", 4), ("step", 1))}
    return _rows([_make("Range", ["start", "end", "step"], ["r"], "range"), _make("Mul", ["x", "r"], ["y"])], weights)


def input_read_often() -> ModelProto:
    """An input of the model that several nodes read, one of them twice."""
    nodes = [_make("Relu", ["x"], ["a"]), _make("Mul", ["x", "x"], ["b"]), _make("Add", ["a", "b"], ["y"])]
    return _rows(nodes)


def kept_nodes_sharing() -> ModelProto:
    """Two nodes to be kept (``keep_…``) that read the same activation, and a weight that a third reads too."""
    nodes = [
        _make("Relu", ["x"], ["r"], "relu"),
        _make("Add", ["r", "w"], ["a"], "keep_add"),
        _make("Mul", ["r", "w"], ["b"], "keep_mul"),
        _make("Sub", ["a", "w"], ["c"], "sub"),
        _make("Add", ["b", "c"], ["y"], "add"),
    ]
    return _rows(nodes, {"w": np.array([0.1, 1.1, 2.1, 3.1], np.float32)})


def kept_chain() -> ModelProto:
    """Nodes to be kept, one after the other, from the input to the output."""
    nodes = [
        _make("Exp", ["x"], ["a"], "keep_exp"),
        _make("Log", ["a"], ["b"], "keep_log"),
        _make("Mul", ["a", "b"], ["y"], "keep_mul"),
    ]
    return _rows(nodes)


def resized_image() -> ModelProto:
    """A Resize, whose scales are FP32 whatever its data is."""
    return model_from(
        [_make("Relu", ["x"], ["r"]), _make("Resize", ["r", "", "s"], ["y"], "resize")],
        inputs={"x": ["N", 3, 4, 4]},
        outputs={"y": ["N", 3, 8, 8]},
        weights={"s": np.array([1, 1, 2, 2], np.float32)},
    )


def top_values() -> ModelProto:
    """A TopK, with one float and one integer result."""
    nodes = [_make("TopK", ["x", "k"], ["v", "i"]), _make("Relu", ["v"], ["y"])]
    return model_from(nodes, inputs={"x": _ROWS}, outputs={"y": ["N", 2]}, weights={"k": np.array([2])})


def old_opset() -> ModelProto:
    """Operators of opset 11 that later ones write otherwise."""
    nodes = [
        _make("Unsqueeze", ["x"], ["u"], axes=[2]),
        _make("Dropout", ["u"], ["d"], ratio=0.5),
        _make("Squeeze", ["d"], ["y"], axes=[2]),
    ]
    return _rows(nodes, opset=11)


def grid_of_anchors() -> ModelProto:
    """Positions that are counted up to a size which is known at run time alone, as detectors do."""
    nodes = [
        _make("Shape", ["x"], ["shape"]),
        _make("Gather", ["shape", "first"], ["size"], axis=0),
        _make("Cast", ["size"], ["end"], "cast_size", to=TensorProto.FLOAT),
        _make("Range", ["start", "end", "step"], ["range"], "range"),
        _make("Add", ["range", "half"], ["centres"], "centre"),
        _make("Unsqueeze", ["centres", "last"], ["grid"], "grid"),
        _make("Mul", ["x", "grid"], ["y"], "scale"),
    ]
    floats = {name: np.float32(value).reshape(()) for name, value in (("start", 0), ("step", 1), ("half", 0.5))}
    return _rows(nodes, {**floats, "first": np.array(0), "last": np.array([1])})


def causal_mask() -> ModelProto:
    """A mask as language models have it: of positions that are compared, and of the largest number of FP32."""
    nodes = [
        _make("Shape", ["x"], ["shape"]),
        _make("Gather", ["shape", "first"], ["size"], axis=0),
        _make("Range", ["zero", "size", "one"], ["positions"], "positions"),
        _make("Unsqueeze", ["positions", "last"], ["rows"]),
        _make("Less", ["rows", "columns"], ["later"]),
        _make("Cast", ["later"], ["mask"], "mask", to=TensorProto.FLOAT),
        _make("Mul", ["mask", "lowest"], ["masked"], "masked"),
        _make("Add", ["x", "masked"], ["s"]),
        _make("Softmax", ["s"], ["y"]),
    ]
    integers = {"first": np.array(0), "zero": np.array(0), "one": np.array(1), "last": np.array([1])}
    return _rows(nodes, {**integers, "columns": np.arange(4), "lowest": np.float32(-3e38).reshape(())})


def resized_image_with_region() -> ModelProto:
    """A Resize as exporters of opset 11 wrote it: with an empty region of interest."""
    return model_from(
        [_make("Relu", ["x"], ["r"]), _make("Resize", ["r", "roi", "s"], ["y"], "resize")],
        inputs={"x": ["N", 3, 4, 4]},
        outputs={"y": ["N", 3, 8, 8]},
        weights={"roi": np.empty(0, np.float32), "s": np.array([1, 1, 2, 2], np.float32)},
        opset=11,
    )


def normalized_convolution() -> ModelProto:
    """A convolution and its batch normalization, whose variances are beyond FP16."""
    nodes = [
        _make("Conv", ["x", "w"], ["c"], "conv"),
        _make("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["y"], "norm"),
    ]
    return _images(nodes, _norm_weights(3e6) | {"w": np.full((3, 3, 1, 1), 900, np.float32)})


def normalization_alone() -> ModelProto:
    """A batch normalization that no convolution can take in, with variances beyond FP16."""
    nodes = [
        _make("Mul", ["x", "large"], ["m"], "mul"),
        _make("BatchNormalization", ["m", "scale", "shift", "mean", "variance"], ["y"], "norm"),
    ]
    return _images(nodes, _norm_weights(3e6) | {"large": np.array(900, np.float32)})


def output_of_another_rank() -> ModelProto:
    """An output that an exporter was told a wrong shape of, and whose own onnx infers in later opsets alone."""
    nodes = [
        _make("Shape", ["x"], ["shape"]),
        _make("Gather", ["shape", "first"], ["size"], axis=0),
        _make("Unsqueeze", ["size"], ["rows"], axes=[0]),
        _make("Concat", ["rows", "rest"], ["wanted"], axis=0),
        _make("Relu", ["x"], ["r"]),
        _make("Reshape", ["r", "wanted"], ["y"], "reshape"),
    ]
    return _rows(nodes, {"first": np.array(0), "rest": np.array([4, 1])}, opset=12)


def what_is_not_built_in_bfloat16() -> ModelProto:
    """Operators that ONNX has in BF16, and TensorRT-RTX 1.7.1 has not."""
    nodes = [
        _make("ConvTranspose", ["x", "w"], ["a"], "deconvolution"),
        _make("HardSwish", ["a"], ["b"], "hard_swish"),
        _make("Mish", ["b"], ["c"], "mish"),
        _make("LpPool", ["c"], ["d"], "pool", kernel_shape=[1, 1]),
        _make("LpNormalization", ["d"], ["y"], "lp_norm", axis=1),
    ]
    return _images(nodes, {"w": np.full((3, 3, 1, 1), 0.25, np.float32)}, opset=18)


def _norm_weights(variance: float) -> dict[str, np.ndarray]:
    ones = np.ones(3, np.float32)
    return {"scale": ones, "shift": ones, "mean": ones, "variance": ones * np.float32(variance)}


def _images(nodes: list[NodeProto], weights: dict[str, np.ndarray], *, opset: int = 17) -> ModelProto:
    shape: list[int | str] = ["N", 3, 4, 4]
    return model_from(nodes, inputs={"x": shape}, outputs={"y": shape}, weights=weights, opset=opset)


def _rows(
    nodes: list[NodeProto],
    weights: dict[str, np.ndarray] | None = None,
    *,
    outputs: list[str] | None = None,
    opset: int = 17,
) -> ModelProto:
    shapes = dict.fromkeys(outputs or ["y"], _ROWS)
    return model_from(nodes, inputs={"x": _ROWS}, outputs=shapes, weights=weights or {}, opset=opset)


EVERY_MODEL = (
    output_read_inside,
    branches_reading_outer_tensors,
    cast_of_a_shape,
    constant_of_shape,
    counting_range,
    input_read_often,
    kept_nodes_sharing,
    kept_chain,
    resized_image,
    top_values,
    old_opset,
    grid_of_anchors,
    causal_mask,
    resized_image_with_region,
    normalized_convolution,
    normalization_alone,
    output_of_another_rank,
    what_is_not_built_in_bfloat16,
)
