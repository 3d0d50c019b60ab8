from __future__ import annotations

from pipeline.prepare.graph import index_from_model
from pipeline.prepare.qdq_placement import QuantizedInput, is_quantizable, place_pairs
from tests.support.quantizable_models import depthwise_decoder, residual_cnn


def test_inputs_come_in_the_order_of_the_graph() -> None:
    index = index_from_model(depthwise_decoder())

    assert place_pairs(index, {"x", "r", "big"}, lambda _: True) == (
        QuantizedInput("depthwise", 0, "x", constant=False),
        QuantizedInput("depthwise", 1, "wd", constant=True, axis=0),
        QuantizedInput("transposed", 0, "r", constant=False),
        QuantizedInput("transposed", 1, "wt", constant=True, axis=1),
        QuantizedInput("grouped", 0, "big", constant=False),
        QuantizedInput("grouped", 1, "wg", constant=True, axis=None),
    )


def test_nothing_calibrated_means_nothing_quantized() -> None:
    assert place_pairs(index_from_model(residual_cnn()), set(), lambda _: True) == ()


def test_only_convolutions_and_products_are_what_int8_is_for() -> None:
    names = [node.name for node in residual_cnn().graph.node if is_quantizable(node)]

    assert names == ["conv1", "conv2", "conv3", "gemm"]
