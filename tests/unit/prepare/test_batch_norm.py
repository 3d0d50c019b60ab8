from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from pipeline.prepare.batch_norm import fold_batch_norms
from tests.support.quantizable_models import residual_cnn

if TYPE_CHECKING:
    from onnx import ModelProto


def _operators(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def _logits(model: ModelProto, data: dict[str, np.ndarray]) -> np.ndarray:
    (logits,) = ReferenceEvaluator(model).run(None, data)
    return np.asarray(logits)


def test_the_folded_model_computes_the_same() -> None:
    model = residual_cnn()
    data = {"x": np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)}
    expected = _logits(residual_cnn(), data)

    assert fold_batch_norms(model, lambda _: True) == 2

    onnx.checker.check_model(model, full_check=True)
    assert "BatchNormalization" not in _operators(model)
    assert _logits(model, data) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_normalisation_of_a_tensor_that_others_read_is_left() -> None:
    model = residual_cnn()
    model.graph.output.append(onnx.helper.make_tensor_value_info("c1", onnx.TensorProto.FLOAT, None))

    assert fold_batch_norms(model, lambda _: True) == 1
    assert "c1" in {tensor for node in model.graph.node for tensor in node.output}


@pytest.mark.parametrize("kept", ["norm1", "conv1"])
def test_a_node_that_must_stay_is_left(kept: str) -> None:
    assert fold_batch_norms(residual_cnn(), lambda node: node.name != kept) == 1
