"""What TensorRT's inspector prints, read: real texts of 8.6, and its later forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.inspection.inspector import layers_from_inspector

CHANNELS = "Channel major where channel % 8 == 0"
FIXTURES = Path(__file__).parents[2] / "fixtures/inspector"


def text_of(**entry: Any) -> str:
    return json.dumps(
        {"Layers": [{"Name": "conv", "LayerType": "CaskConvolution", "Inputs": [], "Outputs": []} | entry]}
    )


def test_a_real_engine_that_the_builder_left_in_fp32_although_fp16_was_asked_for_is_told_apart() -> None:
    layers = layers_from_inspector((FIXTURES / "tensorrt-8.6-fp16.json").read_text())
    assert len(layers) > 5
    convolutions = [each for each in layers if each.type == "CaskConvolution"]
    assert {each.precision for each in convolutions} == {"fp32"}
    assert all(each.tactic for each in convolutions)


def test_the_layers_of_a_real_int8_engine_are_read() -> None:
    layers = layers_from_inspector((FIXTURES / "tensorrt-8.6-int8.json").read_text())
    assert "int8" in {each.precision for each in layers if each.type == "CaskConvolution"}


def test_the_nodes_of_the_model_are_read_from_between_control_characters() -> None:
    metadata = "[ONNX Layer: /stem/Conv]\u001e[ONNX Layer: /stem/Relu]"
    text = text_of(Metadata="@").replace("@", metadata)
    (layer,) = layers_from_inspector(text)
    assert layer.onnx_nodes == ("/stem/Conv", "/stem/Relu")


@pytest.mark.parametrize(
    ("tensor", "dtype", "layout"),
    [
        ({"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}, "fp16", CHANNELS),
        ({"Format/Datatype": "Row major linear FP32"}, "fp32", "Row major linear"),
        ({"Format/Datatype": "N/A due to dynamic shapes"}, None, None),
        ({"Format": "Row major linear", "Datatype": "BFloat16"}, "bf16", "Row major linear"),
        ({"Format": "kLINEAR", "Datatype": "kINT8"}, "int8", "kLINEAR"),
    ],
)  # fmt: skip
def test_types_and_layouts_are_read_in_the_forms_of_all_versions(
    tensor: dict[str, Any], dtype: str | None, layout: str | None
) -> None:
    (layer,) = layers_from_inspector(text_of(Inputs=[{"Name": "x", "Dimensions": [1, 3]} | tensor]))
    assert (layer.inputs[0].dtype, layer.inputs[0].format) == (dtype, layout)


@pytest.mark.parametrize(
    ("entry", "precision"),
    [
        ({"TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8f32_i8i32_f32_nchw_vect_c"}, "int8"),
        ({"TacticName": "sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc"}, "fp16"),
        ({"TacticName": "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nchw"}, "tf32"),
        ({"Weights": {"Type": "Half", "Count": 9}}, "fp16"),
        ({"Weights": {"Type": "Int8", "Count": 0}}, None),
        ({"Inputs": [{"Name": "x", "Format/Datatype": "Row major linear FP32"}]}, "fp32"),
        ({"LayerType": "Myelin", "Inputs": [{"Name": "x", "Format/Datatype": "Row major linear FP32"}]}, None),
    ],
)
def test_the_precision_is_that_of_the_factors(entry: dict[str, Any], precision: str | None) -> None:
    (layer,) = layers_from_inspector(text_of(**entry))
    assert layer.precision == precision


def test_an_engine_that_tells_names_alone_has_layers_of_unknown_precision() -> None:
    layers = layers_from_inspector('{"Layers": ["conv1 + relu1", "fc"], "Bindings": ["x"]}')
    assert [(each.name, each.type, each.precision) for each in layers] == [
        ("conv1 + relu1", None, None),
        ("fc", None, None),
    ]


def test_numbers_that_json_does_not_know_are_read_over() -> None:
    text = text_of(Alpha="@").replace('"@"', "-nan")
    assert len(layers_from_inspector(text)) == 1


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"Layers": 3}'])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        layers_from_inspector(text)
