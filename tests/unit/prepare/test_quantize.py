from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import helper, numpy_helper

from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod
from pipeline.prepare.calibration_table import table_from_amax
from pipeline.prepare.quantize import has_quantize_nodes, quantize, weight_scales
from tests.support.quantizable_models import depthwise_decoder, model_from, residual_cnn, transformer_block

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import ModelProto, NodeProto

    from pipeline.prepare.calibration_table import CalibrationTable

# Below 1e-30 the scale itself would be subnormal, whose few bits round it down.
_elements = st.floats(-1000, 1000, width=32).map(lambda value: value if abs(value) > 1e-30 else 0.0)
_weights = arrays.arrays(np.float32, (3, 4), elements=_elements)


def _table(model: ModelProto, without: Iterable[str] = ()) -> CalibrationTable:
    tensors = {"x"} | {tensor for node in model.graph.node for tensor in node.output}
    amax = {name: 1.0 + position / 8 for position, name in enumerate(sorted(tensors - set(without)))}
    return table_from_amax(CalibrationMethod.MINMAX, amax)


def _quantized(model: ModelProto, without: Iterable[str] = (), kept: Iterable[str] = ()) -> ModelProto:
    quantize(model, _table(model, without), half_scales=False, may_quantize=lambda node: node.name not in kept)
    onnx.checker.check_model(model, full_check=True)
    return model


def _node(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def _producer(model: ModelProto, tensor: str) -> NodeProto | None:
    return next((node for node in model.graph.node if tensor in node.output), None)


def _paired(model: ModelProto, node: str) -> list[str]:
    """What each input of a node was before quantization, with ``*`` where a pair or an INT8 weight stands before it."""
    found = []
    for tensor in _node(model, node).input:
        dequantize = _producer(model, tensor)
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            found.append(tensor)
            continue
        quantize_node = _producer(model, dequantize.input[0])
        found.append(f"{quantize_node.input[0]}*" if quantize_node else "weight*")
    return found


def _value(model: ModelProto, name: str) -> np.ndarray:
    value: np.ndarray = numpy_helper.to_array(next(item for item in model.graph.initializer if item.name == name))
    return value


def _dequantize_of_weight(model: ModelProto, node: str, position: int = 1) -> NodeProto:
    dequantize = _producer(model, _node(model, node).input[position])
    assert dequantize is not None
    return dequantize


def test_convolutions_and_products_take_int8_data_and_weights_but_float_biases() -> None:
    model = _quantized(residual_cnn())

    assert _paired(model, "conv3") == ["r2*", "weight*", "b3"]
    assert _paired(model, "gemm") == ["f*", "weight*", "b4"]


def test_what_is_fused_into_a_convolution_gets_no_pair() -> None:
    model = _quantized(residual_cnn())

    assert _paired(model, "relu1") == ["bn1"]
    assert _paired(model, "relu3") == ["sum"]


def test_only_the_shortcut_of_a_residual_addition_gets_a_pair() -> None:
    assert _paired(_quantized(residual_cnn()), "residual") == ["c3", "p1*"]


def test_of_two_convolutions_the_later_one_takes_the_addition_in() -> None:
    rng = np.random.default_rng(0)
    make = helper.make_node
    model = model_from(
        [
            make("Conv", ["x", "w"], ["main"], "first"),
            make("Conv", ["x", "w"], ["side"], "second"),
            make("Add", ["main", "side"], ["sum"], "add"),
            make("Conv", ["sum", "w"], ["y"], "third"),
        ],
        inputs={"x": ["N", 2, 4, 4]},
        outputs={"y": ["N", 2, 4, 4]},
        weights={"w": rng.standard_normal((2, 2, 1, 1)).astype(np.float32)},
    )

    assert _paired(_quantized(model), "add") == ["main*", "side"]


def test_an_addition_that_feeds_no_quantized_node_stays_float() -> None:
    assert _paired(_quantized(residual_cnn(), kept=["gemm"]), "residual") == ["c3", "p1"]


def test_poolings_before_quantized_nodes_get_a_pair() -> None:
    model = _quantized(residual_cnn())

    assert [_paired(model, name) for name in ("maxpool", "avgpool", "globalpool")] == [["r1*"], ["r3*"], ["p2*"]]


def test_poolings_before_float_nodes_stay_float() -> None:
    assert _paired(_quantized(residual_cnn(), kept=["gemm"]), "globalpool") == ["p2"]


def test_both_activations_of_an_attention_product_get_a_pair() -> None:
    model = _quantized(transformer_block())

    assert _paired(model, "scores") == ["q*", "kt*"]
    assert _paired(model, "context") == ["p*", "v*"]


def test_residual_additions_of_matrix_products_stay_float() -> None:
    assert _paired(_quantized(transformer_block()), "residual1") == ["x", "o"]


def test_a_tensor_with_several_readers_is_quantized_once() -> None:
    model = _quantized(transformer_block())

    readers = [node.name for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "ln1"]
    assert len(readers) == 1


def test_the_scales_are_the_table_s_to_the_last_bit() -> None:
    model = residual_cnn()
    table = _table(model)

    _quantized(model)

    scales = {
        node.input[0]: float(_value(model, node.input[1]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    assert scales == {tensor: table.scales[tensor] for tensor in ("x", "r1", "p1", "r2", "r3", "p2", "f")}


def test_every_zero_point_is_zero_and_int8() -> None:
    model = _quantized(residual_cnn())

    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    points = [_value(model, node.input[2]) for node in pairs]
    assert all(point.dtype == np.int8 and not point.any() for point in points)


@pytest.mark.parametrize(
    ("model", "node", "axis", "channels"),
    [
        (residual_cnn, "conv1", 0, 8),
        (residual_cnn, "gemm", 0, 10),
        (transformer_block, "up", 1, 64),
        (depthwise_decoder, "depthwise", 0, 8),
        (depthwise_decoder, "transposed", 1, 4),
    ],
)
def test_weights_have_a_scale_per_output_channel(model: object, node: str, axis: int, channels: int) -> None:
    quantized = _quantized(model())  # type: ignore[operator]

    dequantize = _dequantize_of_weight(quantized, node)

    assert [item.i for item in dequantize.attribute if item.name == "axis"] == [axis]
    assert _value(quantized, dequantize.input[1]).shape == (channels,)


def test_a_grouped_transposed_convolution_has_one_scale() -> None:
    model = _quantized(depthwise_decoder())

    assert _value(model, _dequantize_of_weight(model, "grouped").input[1]).shape == ()


def test_int8_weights_are_the_rounded_quotients() -> None:
    weight = _value(residual_cnn(), "w3")
    model = _quantized(residual_cnn())

    dequantize = _dequantize_of_weight(model, "conv3")
    integers, scales = (_value(model, name) for name in dequantize.input[:2])

    assert integers.dtype == np.int8
    assert np.abs(integers).max(axis=(1, 2, 3)).tolist() == [127] * 8
    restored = integers * scales.reshape(-1, 1, 1, 1)
    assert np.abs(restored - weight).max() <= scales.max() / 2 * 1.0001


def test_a_normalisation_is_folded_before_weights_are_quantized() -> None:
    model = _quantized(residual_cnn())

    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert _node(model, "conv1").output[0] == "bn1"


def test_a_normalisation_that_must_stay_is_not_folded() -> None:
    model = _quantized(residual_cnn(), kept=["norm1"])

    assert _node(model, "norm1").input[0] == "c1"


def test_a_node_that_must_stay_is_not_quantized() -> None:
    assert _paired(_quantized(residual_cnn(), kept=["conv3"]), "conv3") == ["r2", "w3", "b3"]


def test_a_node_whose_activation_is_not_in_the_table_is_not_quantized() -> None:
    assert _paired(_quantized(residual_cnn(), without=["r2"]), "conv3") == ["r2", "w3", "b3"]


def test_a_product_of_which_one_activation_is_missing_stays_float_as_a_whole() -> None:
    assert _paired(_quantized(transformer_block(), without=["kt"]), "scores") == ["q", "kt"]


def test_a_transposed_constant_becomes_an_int8_weight() -> None:
    make = helper.make_node
    model = model_from(
        [make("Transpose", ["w"], ["wt"], perm=[1, 0]), make("MatMul", ["x", "wt"], ["y"], "product")],
        inputs={"x": ["N", 3]},
        outputs={"y": ["N", 2]},
        weights={"w": np.arange(6, dtype=np.float32).reshape(2, 3)},
    )

    assert _paired(_quantized(model), "product") == ["x*", "weight*"]


def test_the_same_table_gives_the_same_bytes() -> None:
    first, second = (_quantized(residual_cnn()).SerializeToString(deterministic=True) for _ in range(2))

    assert first == second


def test_no_float_copy_of_a_quantized_weight_is_left() -> None:
    names = {tensor.name for tensor in _quantized(residual_cnn()).graph.initializer}

    assert not names & {"w1", "w2", "w3", "w4"}


def test_it_says_how_many_nodes_were_quantized() -> None:
    model = residual_cnn()

    result = quantize(model, _table(model), half_scales=False, may_quantize=lambda _: True)

    assert result.nodes == 8
    assert has_quantize_nodes(model)


def test_a_model_of_which_nothing_could_be_quantized_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing in the model could be quantized"):
        quantize(
            residual_cnn(),
            table_from_amax(CalibrationMethod.MINMAX, {"other": 1.0}),
            half_scales=False,
            may_quantize=lambda _: True,
        )


def test_a_weight_that_is_no_number_is_refused() -> None:
    model = residual_cnn()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w3")
    weight.CopyFrom(numpy_helper.from_array(np.full((8, 8, 3, 3), np.nan, np.float32), "w3"))

    with pytest.raises(ModelError, match="'w3' holds NaN or infinity"):
        _quantized(model)


@given(_weights)
def test_scales_are_above_zero_and_clip_nothing(weight: np.ndarray) -> None:
    for half in (False, True):
        scales = weight_scales(weight, 0, half=half)
        assert (scales > 0).all()
        assert (np.abs(weight) <= scales[:, None] * 127 * 1.000001).all()


@given(_weights)
def test_half_scales_are_values_of_fp16(weight: np.ndarray) -> None:
    scales = weight_scales(weight, 1, half=True)

    assert np.array_equal(scales.astype(np.float16).astype(np.float32), scales)


def test_a_channel_of_zeros_has_the_scale_one() -> None:
    assert weight_scales(np.array([[0, 0], [127, 1]], np.float32), 0, half=False).tolist() == [1, 1]
