"""How much of an engine runs in which precision, and whether that is what was asked for.

A weakly typed builder may leave every layer in FP32 without a word, and so may a typed model whose casts were lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

from pipeline.errors import BuildError
from pipeline.inspection.layers import time_ms_from_layers
from pipeline.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.inspection.layers import EngineLayers, Layer

DEFAULT_MIN_SHARE = 0.5
_COMPUTE_TYPE = re.compile(
    r"conv|gemm|matmul|matrix.?multiply|fully.?connected|myelin|foreignnode|einsum|attention|mha|rnn", re.IGNORECASE
)
_COMPUTE_KERNEL = re.compile(r"gemm|gemv|fprop|dgrad|wgrad|conv|_mha|fmha", re.IGNORECASE)
_IDLE_TYPE = re.compile(r"reformat|no.?op|constant|shape|shuffle|signal|wait", re.IGNORECASE)
_BELOW_FP16 = frozenset({"fp8", "fp4", "int8", "int4"})
_BELOW_FP32 = frozenset({"fp16", "bf16"}) | _BELOW_FP16
_ASKED = {
    Precision.FP16: _BELOW_FP32,
    Precision.BF16: _BELOW_FP32,
    Precision.INT8: _BELOW_FP16,
    Precision.INT8_FP16: _BELOW_FP32,
    Precision.FP8: _BELOW_FP16,
    Precision.INT4: _BELOW_FP32,
}
"""Asked for -> what counts as granted. INT8+FP16 leaves the choice between the two to the builder."""
AUDITED = frozenset(_ASKED)
"""The precisions that a builder may fail to grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionShare:
    """What runs in one precision. Shares are from 0 to 1; ``precision`` is ``None`` where it cannot be told."""

    precision: str | None
    layers: int
    layer_share: float
    time_ms: float | None
    time_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionAudit:
    """What became of the precision that was asked for.

    ``granted``, ``unknown`` and ``layers`` count compute layers. ``fault`` is empty where the engine is what was asked
    for, or where that cannot be told, in which case ``undecided`` is true.
    """

    asked: Precision
    min_share: float
    granted: int
    unknown: int
    layers: int
    fault: str

    @property
    def share(self) -> float | None:
        """The share of the compute layers of known precision, ``None`` where there is none."""
        known = self.layers - self.unknown
        return self.granted / known if known else None


def is_compute(layer: Layer) -> bool:
    """Whether a layer multiplies: convolutions, matrix products, and what Myelin made of them.

    Reformats, constants and shape arithmetic do not, whatever they are called. Nor do pointwise kernels and
    normalization, which keep their own precision for good reasons.
    """
    kind = layer.type or ""
    if _IDLE_TYPE.search(kind):
        return False
    return bool(_COMPUTE_TYPE.search(kind) or _COMPUTE_KERNEL.search(layer.tactic or ""))


def precision_shares(layers: Iterable[Layer]) -> tuple[PrecisionShare, ...]:
    """One entry per precision: most time first where the layers were timed, else most layers."""
    groups: dict[str | None, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(layer.precision, []).append(layer)
    count = sum(map(len, groups.values()))
    times = {word: time_ms_from_layers(members) for word, members in groups.items()}
    known = [time for time in times.values() if time is not None]
    all_ms = fsum(known) if known else None
    shares = [
        PrecisionShare(
            precision=word,
            layers=len(members),
            layer_share=len(members) / count,
            time_ms=times[word],
            time_share=(times[word] or 0.0) / all_ms if all_ms else None,
        )
        for word, members in groups.items()
    ]
    return tuple(sorted(shares, key=lambda share: (share.time_ms or 0.0, share.layers), reverse=True))


def audit_precision(engine: EngineLayers, asked: Precision, min_share: float = DEFAULT_MIN_SHARE) -> PrecisionAudit:
    """Whether at least ``min_share`` of the compute layers came out in ``asked`` or below; 0 asks for nothing.

    Layers are counted, not their times, so that the verdict does not change from run to run. Layers of unknown
    precision are taken for granted ones: an engine is refused only where it is certain. An engine asked for in INT8
    has at least one INT8 layer, whatever its share of FP16.
    """
    layers = [layer for layer in engine.layers if is_compute(layer)]
    unknown = sum(layer.precision is None for layer in layers)
    counted = _ASKED.get(asked, frozenset())
    granted = sum(layer.precision in counted for layer in layers)
    fault = ""
    if counted and layers and min_share > 0:
        others = ", ".join(
            f"{share.layers} in {share.precision}"
            for share in precision_shares(layers)
            if share.precision is not None and share.precision not in counted
        )
        narrow = sum(layer.precision in _BELOW_FP16 for layer in layers)
        if (granted + unknown) / len(layers) < min_share:
            fault = (
                f"of {len(layers)} layers that compute, {others}, and only {granted} in {_listed(counted)}; "
                f"at least {min_share:.0%} must be"
            )
        elif asked.quantized and not narrow and not unknown:
            fault = f"none of the {len(layers)} layers that compute runs in int8"
    return PrecisionAudit(
        asked=asked, min_share=min_share, granted=granted, unknown=unknown, layers=len(layers), fault=fault
    )


def error_from_audit(audit: PrecisionAudit) -> BuildError:
    """The failure of a job whose audit has a fault."""
    return BuildError(
        f"the engine was asked for in {audit.asked} and came out otherwise",
        why=audit.fault,
        fix="`inspect` shows the layers: mend the model, or lower `build.min_precision_share` where the others are as "
        "meant: kept by `build.layer_precisions`, or faster so",
    )


def _listed(words: Iterable[str]) -> str:
    *most, last = sorted(words)
    return f"{', '.join(most)} or {last}" if most else last
