"""What most likely makes an engine slower or faster than the base branch's: the layers that changed most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.inspection.changes import engine_changes
from pipeline.inspection.layers import time_ms_from_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inspection.changes import Change
    from pipeline.inspection.layers import EngineLayers, Layer

MOST = 5
_NAME_CHARACTERS = 200
_NAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChange:
    """One part of the model in both engines. ``what`` is such as ``fused, int8 -> fp16, slower``.

    ``before`` and ``after`` name its layers, none where it is new or gone. Times are in ms, ``None`` where no layer was
    timed. ``tactic`` is such as ``a -> b``, empty where it stayed or cannot be told.
    """

    what: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    before_ms: float | None
    after_ms: float | None
    tactic: str = ""


def layer_changes(base: EngineLayers, head: EngineLayers) -> tuple[LayerChange, ...]:
    """At most ``MOST`` of what changed from ``base`` to ``head``, most costly first."""
    return tuple(_told(change) for change in engine_changes(base, head)[:MOST])


def _told(change: Change) -> LayerChange:
    return LayerChange(
        what=", ".join(change.words),
        before=_names(change.before),
        after=_names(change.after),
        before_ms=time_ms_from_layers(change.before),
        after_ms=time_ms_from_layers(change.after),
        tactic=_tactic(change),
    )


def _names(layers: Sequence[Layer]) -> tuple[str, ...]:
    more = (f"and {len(layers) - _NAMES} more",) if len(layers) > _NAMES else ()
    return (*(layer.name[:_NAME_CHARACTERS] for layer in layers[:_NAMES]), *more)


def _tactic(change: Change) -> str:
    if len(change.before) != 1 or len(change.after) != 1:
        return ""
    before, after = change.before[0].tactic, change.after[0].tactic
    return f"{before} -> {after}"[: 2 * _NAME_CHARACTERS] if before and after and before != after else ""
