"""A model that ends in non-maximum suppression by a plugin of TensorRT's, as detectors are exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from pathlib import Path


def detector(path: Path, *, anchors: int = 64, classes: int = 3, detections: int = 10) -> None:
    """Write boxes (batch, anchors, 4) and logits (batch, anchors, classes) -> at most ``detections`` boxes."""
    inputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", anchors, 4]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", anchors, classes]),
    ]
    outputs = [
        helper.make_tensor_value_info("count", TensorProto.INT32, ["batch", 1]),
        helper.make_tensor_value_info("box", TensorProto.FLOAT, ["batch", detections, 4]),
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", detections]),
        helper.make_tensor_value_info("class", TensorProto.INT32, ["batch", detections]),
    ]
    suppression = helper.make_node(
        "EfficientNMS_TRT",
        ["boxes", "scores"],
        [output.name for output in outputs],
        domain="TRT",
        plugin_version="1",
        score_threshold=0.25,
        iou_threshold=0.5,
        max_output_boxes=detections,
        background_class=-1,
        score_activation=0,
        class_agnostic=0,
        box_coding=0,
    )
    nodes = [helper.make_node("Sigmoid", ["logits"], ["scores"]), suppression]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("TRT", 1)]
    graph = helper.make_graph(nodes, "detector", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
