"""Which operators the parser of full TensorRT refuses.

From 10.x on it reports as TensorRT-RTX does. The parser of 8.6 divides the graph into parts that it supports and
parts that it does not (``OnnxParser.supports_model``); the nodes of the latter are what it refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.build.backend import RefusedOperator
from pipeline.build.diagnosis import reason_from_parser
from pipeline.build.rtx_operators import refused_operators
from pipeline.prepare.onnx_graph import name_nodes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def operators_from_parser(path: Path, new_parser: Callable[[], Any]) -> tuple[RefusedOperator, ...]:
    """Every operator of the ONNX file ``path`` that is refused, with its nodes, by operator and reason."""
    parser = new_parser()
    if hasattr(parser, "supports_model_v2"):
        return refused_operators(path, new_parser)
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    name_nodes(model)
    _, parts = parser.supports_model(model.SerializeToString(), str(path.absolute()))
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    reasons = {error.node(): reason_from_parser(error.desc()) for error in errors}
    found: dict[tuple[str, str], list[str]] = {}
    for indices, supported in parts:
        for index in [] if supported else indices:
            node = model.graph.node[index]
            reason = reasons.get(index, "the parser does not support it")
            operator = f"{node.domain}::{node.op_type}" if node.domain not in {"", "ai.onnx"} else node.op_type
            found.setdefault((operator, reason), []).append(node.name)
    return tuple(RefusedOperator(operator, tuple(names), reason) for (operator, reason), names in found.items())
