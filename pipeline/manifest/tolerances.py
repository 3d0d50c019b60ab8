"""How far each precision may be from the original model where the manifest does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.manifest.types import Metric, Tolerance
from pipeline.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.manifest.node import Node

DEFAULT_LIMITS: Mapping[Metric, Mapping[Precision, float]] = {
    Metric.TOP1_DROP: {
        Precision.FP32: 0.1,
        Precision.TF32: 0.2,
        Precision.FP16: 0.5,
        Precision.BF16: 1.0,
        Precision.INT8: 1.0,
        Precision.INT8_FP16: 1.0,
    },
    Metric.COSINE: {
        Precision.FP32: 0.99999,
        Precision.TF32: 0.9999,
        Precision.FP16: 0.999,
        Precision.BF16: 0.99,
        Precision.INT8: 0.95,
        Precision.INT8_FP16: 0.95,
    },
}
"""The absolute and relative errors have no default: their scale is the model's own."""


def tolerances_from_node(
    node: Node | None, precisions: Iterable[Precision], *, labelled: bool
) -> tuple[Tolerance, ...]:
    """One tolerance per metric and precision, in the order of ``Metric`` and of ``precisions``.

    ``node`` is the mapping ``accuracy.tolerances``; without labels there is none for ``top1-drop``.
    """
    written = node.members if node else {}
    metrics = [metric for metric in Metric if labelled or metric is not Metric.TOP1_DROP]
    limits = (
        (metric, each, _limit(written.get(metric.value), metric, each)) for metric in metrics for each in precisions
    )
    return tuple(Tolerance(metric, each, limit) for metric, each, limit in limits if limit is not None)


def _limit(written: Node | None, metric: Metric, precision: Precision) -> float | None:
    if written is not None and written.members:
        written = written.members.get(precision.value)
    if written is not None and isinstance(written.value, int | float):
        return float(written.value)
    return DEFAULT_LIMITS.get(metric, {}).get(precision)
