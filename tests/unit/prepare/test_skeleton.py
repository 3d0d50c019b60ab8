from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pipeline.errors import ModelError
from pipeline.prepare.skeleton import inferred_values, with_inferred_values, with_opset
from tests.support.quantizable_models import model_from, residual_cnn

if TYPE_CHECKING:
    from onnx import ModelProto


def _wide() -> ModelProto:
    """A product with a weight large enough to be set aside."""
    weight = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    return model_from(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])],
        inputs={"x": ["N", 64]},
        outputs={"y": ["N", 64]},
        weights={"w": weight},
        opset=11,
    )


def test_types_are_inferred_without_the_weights_values() -> None:
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in inferred_values(_wide())
    }

    assert shapes["m"] == [0, 64]


def test_weights_set_aside_come_back() -> None:
    for changed in (with_inferred_values(_wide()), with_opset(_wide(), 17)):
        onnx.checker.check_model(changed, full_check=True)
        assert [value.name for value in changed.graph.input] == ["x"]
        assert np.array_equal(
            numpy_helper.to_array(changed.graph.initializer[0]), numpy_helper.to_array(_wide().graph.initializer[0])
        )


def test_a_model_of_that_opset_or_later_is_left_alone() -> None:
    model = residual_cnn(opset=17)

    assert with_opset(model, 13) is model


def test_lifting_keeps_the_names_of_nodes_and_tensors() -> None:
    lifted = with_opset(residual_cnn(opset=11), 19)

    assert lifted.opset_import[0].version == 19
    assert [node.name for node in lifted.graph.node] == [node.name for node in residual_cnn().graph.node]
    assert [list(node.output) for node in lifted.graph.node] == [
        list(node.output) for node in residual_cnn().graph.node
    ]


def test_a_model_that_cannot_be_lifted_is_refused() -> None:
    model = _wide()
    model.graph.node[1].op_type = "NoSuchOperator"

    with pytest.raises(ModelError, match="cannot be lifted from opset 11 to 19"):
        with_opset(model, 19)
