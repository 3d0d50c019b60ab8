"""Which layers of two builds of one model run other tactics (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.inspection.layers import EngineLayers

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class TacticDifference:
    """One layer and its tactic in both builds, ``absent`` where a build does not have the layer."""

    layer: str
    before: str
    after: str


def tactic_differences(before: EngineLayers, after: EngineLayers) -> tuple[TacticDifference, ...]:
    """Every layer whose tactic differs, in the order of ``before``; layers that bear one name, in their order."""
    first, second = _tactics(before), _tactics(after)
    names = dict.fromkeys((*first, *second))
    pairs = ((name, first.get(name, ABSENT), second.get(name, ABSENT)) for name in names)
    return tuple(TacticDifference(name[0], old, new) for name, old, new in pairs if old != new)


def _tactics(engine: EngineLayers) -> dict[tuple[str, int], str]:
    tactics: dict[tuple[str, int], str] = {}
    seen: dict[str, int] = {}
    for layer in engine.layers:
        number = seen[layer.name] = seen.get(layer.name, -1) + 1
        tactics[layer.name, number] = layer.tactic or layer.type or "untold"
    return tactics
