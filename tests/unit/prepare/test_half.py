from __future__ import annotations

from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.errors import ModelError
from pipeline.prepare.half import to_bfloat16, to_float16
from pipeline.prepare.onnx_graph import name_nodes
from tests.support.half_precision_models import (
    EVERY_MODEL,
    branches_reading_outer_tensors,
    causal_mask,
    constant_of_shape,
    counting_range,
    grid_of_anchors,
    kept_chain,
    kept_nodes_sharing,
    normalization_alone,
    normalized_convolution,
    output_of_another_rank,
    resized_image,
    resized_image_with_region,
    what_is_not_built_in_bfloat16,
)
from tests.support.quantizable_models import depthwise_decoder, model_from, residual_cnn

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto

    from pipeline.prepare.half import Halved

_CONVERSIONS = {"fp16": to_float16, "bf16": to_bfloat16}


def _halved(model: ModelProto, precision: str = "fp16") -> Halved:
    name_nodes(model)
    keep = [node.name for node in model.graph.node if node.name.startswith("keep_")]
    result = _CONVERSIONS[precision](model, keep)
    onnx.checker.check_model(result.model, full_check=True)
    return result


def _casts(model: ModelProto) -> list[int]:
    return [node.attribute[0].i for node in model.graph.node if node.op_type == "Cast"]


def _values(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("make_model", EVERY_MODEL)
def test_the_result_is_valid_and_keeps_the_types_of_inputs_and_outputs(
    make_model: Callable[[], ModelProto], precision: str
) -> None:
    model = make_model()
    before = [(value.name, value.type.tensor_type.elem_type) for value in (*model.graph.input, *model.graph.output)]

    halved = _halved(model, precision).model

    after = [(value.name, value.type.tensor_type.elem_type) for value in (*halved.graph.input, *halved.graph.output)]
    assert after == before


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_same_model_gives_the_same_bytes(precision: str) -> None:
    first, second = (_halved(residual_cnn(), precision).model.SerializeToString(deterministic=True) for _ in range(2))

    assert first == second


def test_all_weights_become_fp16_and_only_inputs_and_outputs_are_cast() -> None:
    halved = _halved(residual_cnn()).model

    assert {value.dtype for value in _values(halved).values()} == {np.dtype(np.float16)}
    assert _casts(halved) == [TensorProto.FLOAT16, TensorProto.FLOAT]


def test_bf16_weights_are_rounded_from_fp32_and_not_from_fp16() -> None:
    weight = np.array([1.00390625 + 2**-12, 1e-30, 3e38, -70000], np.float32)
    model = model_from(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        inputs={"x": ["N", 4]},
        outputs={"y": ["N", 4]},
        weights={"w": weight},
    )

    rounded = _values(_halved(model, "bf16").model)["w"]

    assert rounded.astype(np.float32).tolist() == weight.astype(ml_dtypes.bfloat16).astype(np.float32).tolist()


def test_bf16_lifts_the_model_to_the_opset_that_has_it() -> None:
    halved = _halved(residual_cnn(), "bf16").model

    assert halved.opset_import[0].version == 22


def test_a_convolution_takes_its_batch_normalization_in_before_anything_is_rounded() -> None:
    halved = _halved(normalized_convolution())

    assert [node.op_type for node in halved.model.graph.node if node.op_type != "Cast"] == ["Conv"]
    assert halved.warnings == ()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_batch_normalization_that_stands_alone_keeps_its_variances(precision: str) -> None:
    halved = _halved(normalization_alone(), precision)

    assert halved.kept == {"norm"}
    assert _values(halved.model)["variance"].tolist() == [3e6] * 3


def test_positions_are_counted_in_fp32_until_they_meet_data() -> None:
    assert _halved(grid_of_anchors()).kept == {"cast_size", "range", "centre", "grid"}


@pytest.mark.parametrize("make_model", [constant_of_shape, causal_mask])
def test_what_fills_a_shape_or_masks_is_in_fp16(make_model: Callable[[], ModelProto]) -> None:
    assert _halved(make_model()).kept <= {"positions"}


def test_bf16_keeps_what_is_not_built_in_it() -> None:
    every = {"deconvolution", "hard_swish", "mish", "pool", "lp_norm"}
    assert _halved(what_is_not_built_in_bfloat16(), "bf16").kept == every
    assert _halved(what_is_not_built_in_bfloat16()).kept == set()


def test_a_region_that_nothing_reads_is_taken_from_a_resize() -> None:
    (resize,) = (
        node for node in _halved(resized_image_with_region(), "bf16").model.graph.node if node.name == "resize"
    )
    assert resize.input[1] == ""


def test_an_output_of_an_impossible_rank_gets_its_own() -> None:
    (output,) = _halved(output_of_another_rank(), "bf16").model.graph.output
    assert len(output.type.tensor_type.shape.dim) == 3


def test_bf16_keeps_transposed_convolutions_in_fp32() -> None:
    assert _halved(depthwise_decoder(), "bf16").kept == {"transposed", "grouped"}


def test_a_model_that_holds_fp16_is_refused_for_bf16() -> None:
    model = _halved(residual_cnn()).model

    with pytest.raises(ModelError, match="holds FP16"):
        to_bfloat16(model, [])


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_kept_nodes_keep_their_exact_weights(precision: str) -> None:
    values = _values(_halved(kept_nodes_sharing(), precision).model)

    assert values["w_fp32"].dtype == np.float32
    assert values["w_fp32"].tolist() == np.array([0.1, 1.1, 2.1, 3.1], np.float32).tolist()
    assert values["w"].dtype != np.float32


def test_kept_nodes_pass_fp32_on_to_each_other() -> None:
    halved = _halved(kept_chain()).model

    assert _casts(halved) == []


def test_the_scales_of_a_resize_stay_fp32() -> None:
    result = _halved(resized_image())

    assert result.kept == set()
    assert _values(result.model)["s_fp32"].tolist() == [1, 1, 2, 2]


def test_a_node_without_an_fp16_form_stays_fp32() -> None:
    assert _halved(counting_range()).kept == {"range"}


def test_a_node_in_a_subgraph_that_must_stay_fp32_is_refused() -> None:
    model = branches_reading_outer_tensors()
    name_nodes(model)

    with pytest.raises(ModelError, match="node 'in_Add' would have to stay FP32"):
        to_float16(model, ["in_Add"])


def test_weights_beyond_fp16_are_cut_and_reported() -> None:
    model = model_from(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        inputs={"x": ["N", 3]},
        outputs={"y": ["N", 3]},
        weights={"w": np.array([1e5, -1e30, 1], np.float32)},
    )

    result = _halved(model)

    assert _values(result.model)["w"].tolist() == [65504, -65504, 1]
    assert result.warnings == ("weights beyond FP16's largest number, 65504, were cut to it: w (1e+30)",)


def test_infinities_are_kept_and_not_reported() -> None:
    model = model_from(
        [helper.make_node("Add", ["x", "mask"], ["y"])],
        inputs={"x": ["N", 2]},
        outputs={"y": ["N", 2]},
        weights={"mask": np.array([-np.inf, 0], np.float32)},
    )

    result = _halved(model)

    assert result.warnings == ()
    assert _values(result.model)["mask"].tolist() == [-np.inf, 0]
