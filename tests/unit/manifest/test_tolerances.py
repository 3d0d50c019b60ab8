from __future__ import annotations

import pytest

from pipeline.manifest.node import Node
from pipeline.manifest.tolerances import tolerances_from_node
from pipeline.manifest.types import Location, Metric, Tolerance
from pipeline.precision import Precision

HERE = Location("m.yaml", 1, 1)


def _written(metric: Metric, limit: float | dict[str, float]) -> Node:
    value: Node
    if isinstance(limit, dict):
        value = Node({name: Node(number, HERE, name) for name, number in limit.items()}, HERE, "")
    else:
        value = Node(limit, HERE, "")
    return Node({metric.value: value}, HERE, "")


def test_one_number_holds_for_every_precision() -> None:
    node = _written(Metric.COSINE, 0.5)
    assert tolerances_from_node(node, [Precision.FP32, Precision.INT8], labelled=False) == (
        Tolerance(Metric.COSINE, Precision.FP32, 0.5),
        Tolerance(Metric.COSINE, Precision.INT8, 0.5),
    )


def test_a_precision_that_is_not_named_keeps_its_default() -> None:
    node = _written(Metric.COSINE, {"int8": 0.9})
    assert tolerances_from_node(node, [Precision.FP16, Precision.INT8], labelled=False) == (
        Tolerance(Metric.COSINE, Precision.FP16, 0.999),
        Tolerance(Metric.COSINE, Precision.INT8, 0.9),
    )


@pytest.mark.parametrize("metric", [Metric.MAX_ABSOLUTE_ERROR, Metric.MAX_RELATIVE_ERROR])
def test_errors_are_only_limited_where_it_is_asked_for(metric: Metric) -> None:
    tolerances = tolerances_from_node(_written(metric, {"fp16": 1}), [Precision.FP32, Precision.FP16], labelled=False)
    assert [tolerance for tolerance in tolerances if tolerance.metric is metric] == [
        Tolerance(metric, Precision.FP16, 1.0)
    ]


def test_the_drop_of_top_1_needs_labels() -> None:
    def metrics(*, labelled: bool) -> list[Metric]:
        return [tolerance.metric for tolerance in tolerances_from_node(None, [Precision.FP32], labelled=labelled)]

    assert metrics(labelled=False) == [Metric.COSINE]
    assert metrics(labelled=True) == [Metric.TOP1_DROP, Metric.COSINE]
