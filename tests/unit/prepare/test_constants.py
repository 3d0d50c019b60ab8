from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pipeline.prepare.constants import drop_unused_initializers, hoist_constants
from tests.support.quantizable_models import model_from


def test_float_constants_and_their_transposes_become_initializers() -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    make = helper.make_node
    model = model_from(
        [
            make("Constant", [], ["k"], value=numpy_helper.from_array(value)),
            make("Identity", ["k"], ["same"]),
            make("Transpose", ["same"], ["turned"]),
            make("MatMul", ["x", "turned"], ["y"]),
        ],
        inputs={"x": ["N", 3]},
        outputs={"y": ["N", 2]},
        weights={},
    )

    hoist_constants(model)

    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    (tensor,) = model.graph.initializer
    assert tensor.name == "turned"
    assert np.array_equal(numpy_helper.to_array(tensor), value.T)


def test_integer_constants_are_left() -> None:
    make = helper.make_node
    model = model_from(
        [make("Constant", [], ["shape"], value_ints=[-1, 1]), make("Reshape", ["x", "shape"], ["y"])],
        inputs={"x": ["N", 3]},
        outputs={"y": ["M", 1]},
        weights={},
    )

    hoist_constants(model)

    assert [node.op_type for node in model.graph.node] == ["Constant", "Reshape"]


def test_initializers_that_nothing_reads_are_dropped() -> None:
    model = model_from(
        [helper.make_node("Add", ["x", "used"], ["y"])],
        inputs={"x": ["N", 1]},
        outputs={"y": ["N", 1]},
        weights={"used": np.ones(1, np.float32), "unused": np.ones(1, np.float32)},
    )

    drop_unused_initializers(model)

    assert [tensor.name for tensor in model.graph.initializer] == ["used"]
