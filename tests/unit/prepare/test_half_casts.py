from __future__ import annotations

import pytest
from onnx import TensorProto

from pipeline.errors import ModelError
from pipeline.prepare.half_casts import with_half_casts
from pipeline.prepare.onnx_graph import name_nodes
from tests.support.half_precision_models import branches_reading_outer_tensors, kept_nodes_sharing


def test_kept_nodes_that_read_one_tensor_share_one_cast() -> None:
    converted = with_half_casts(kept_nodes_sharing(), frozenset({"keep_add", "keep_mul"}))

    upwards = [
        node for node in converted.graph.node if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT
    ]
    assert [node.input[0] for node in upwards].count("r") == 1


def test_a_kept_node_with_branches_is_refused() -> None:
    model = branches_reading_outer_tensors()
    name_nodes(model)

    with pytest.raises(ModelError, match="node 'choice' would have to stay FP32"):
        with_half_casts(model, frozenset({"choice"}))


def test_two_initializers_of_one_name_are_refused() -> None:
    model = branches_reading_outer_tensors()
    name_nodes(model)
    choice = next(node for node in model.graph.node if node.name == "choice")
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    choice.attribute[0].g.initializer.add().CopyFrom(weight)

    with pytest.raises(ModelError, match="an initializer named 'w'"):
        with_half_casts(model, frozenset())
