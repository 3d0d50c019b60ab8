"""Sizes that a graph turns into floating-point numbers, such as the grid of a detector's anchors.

FP16 cannot count beyond 2048, and TensorRT-RTX 1.7.1 builds no ``Range`` whose limits were cast to half precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.prepare.graph import subgraphs, tensors_read

if TYPE_CHECKING:
    from pipeline.prepare.graph import GraphIndex

_OF_SHAPES = frozenset({"Shape", "Size"})
_MADE_OF_SIZES = frozenset({"Cast", "Range"})


def float_shape_arithmetic(index: GraphIndex) -> frozenset[str]:
    """Names of the main graph's nodes that make FP32 numbers of sizes, or compute with such numbers alone.

    A node that reads a value of the model's inputs too is not among them, nor is one that has a subgraph. One that only
    fills a shape with a constant makes no number of a size, nor does one that makes a mask of truth values.
    """
    from onnx import TensorProto

    values, sizes, numbers = set(index.inputs), set[str](), set[str]()
    found = set()
    for node in index.nodes:
        read = tensors_read(node)
        if node.op_type in _OF_SHAPES:
            sizes.update(node.output)
        elif not values.isdisjoint(read):
            values.update(node.output)
        elif not sizes.isdisjoint(read):
            sizes.update(node.output)
            masks = any(index.element_types.get(name) == TensorProto.BOOL for name in read)
            if (node.op_type in _MADE_OF_SIZES and not masks) or not numbers.isdisjoint(read):
                given = [name for name in node.output if index.element_types.get(name) == TensorProto.FLOAT]
                numbers.update(given)
                if not any(subgraphs(node)) and (given or not numbers.isdisjoint(read)):
                    found.add(node.name)
    return frozenset(found)
