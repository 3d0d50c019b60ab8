"""What differs between two engines of one model: layers fused or split, in another precision, slower or faster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pipeline.inspection.layers import time_ms_from_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inspection.layers import EngineLayers, Layer

_NOTICED_SHARE, _NOTICED_MS = 0.05, 0.001
"""A layer is slower or faster where it differs by more than both: event timers resolve about half a microsecond."""


class ChangeKind(str, Enum):
    """How the layers of one part of the model correspond."""

    SAME = "same"
    FUSED = "fused"
    SPLIT = "split"
    REGROUPED = "regrouped"
    ADDED = "added"
    REMOVED = "removed"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Change:
    """The layers that one part of the model became, in the engine before and in the engine after."""

    before: tuple[Layer, ...]
    after: tuple[Layer, ...]

    @property
    def kind(self) -> ChangeKind:
        """How many layers became how many."""
        if not self.before or not self.after:
            return ChangeKind.ADDED if self.after else ChangeKind.REMOVED
        if len(self.before) == 1 or len(self.after) == 1:
            if len(self.before) == len(self.after):
                return ChangeKind.SAME
            return ChangeKind.FUSED if len(self.after) == 1 else ChangeKind.SPLIT
        return ChangeKind.REGROUPED

    @property
    def precisions(self) -> tuple[str, str] | None:
        """The precisions before and after where they differ, several joined by ``+``."""
        if not self.before or not self.after:
            return None
        before, after = _precisions(self.before), _precisions(self.after)
        return (before, after) if before != after else None

    @property
    def delta_ms(self) -> float | None:
        """How much slower it became; ``None`` where a side was not timed."""
        layers = (*self.before, *self.after)
        if any(layer.time_ms is None for layer in layers):
            return None
        return (time_ms_from_layers(self.after) or 0.0) - (time_ms_from_layers(self.before) or 0.0)

    @property
    def words(self) -> tuple[str, ...]:
        """Everything that changed: ``fused``, ``int8 -> fp16``, ``slower``; empty where nothing did."""
        kind = () if self.kind is ChangeKind.SAME else (str(self.kind),)
        precision = (" -> ".join(self.precisions),) if self.precisions else ()
        return (*kind, *precision, *self._pace())

    def _pace(self) -> tuple[str, ...]:
        delta = self.delta_ms
        if delta is None or not self.before or not self.after:
            return ()
        base = time_ms_from_layers(self.before) or 0.0
        if abs(delta) <= max(_NOTICED_MS, _NOTICED_SHARE * base):
            return ()
        return ("slower" if delta > 0 else "faster",)


def engine_changes(before: EngineLayers, after: EngineLayers) -> tuple[Change, ...]:
    """Everything that changed, most costly first: by time where both were timed, else in the order of the engine.

    Layers that have the same name and nodes correspond. The others do through the nodes of the model that they came
    from, and where they have none, such as reformats, by name.
    """
    timed = before.time_ms is not None and after.time_ms is not None
    changes = [change for change in _matched(before.layers, after.layers) if change.words]
    return tuple(sorted(changes, key=lambda change: -abs(change.delta_ms or 0.0))) if timed else tuple(changes)


def _matched(before: Sequence[Layer], after: Sequence[Layer]) -> list[Change]:
    """Every layer of both in exactly one change, in the order of the engine after, then of what is gone."""
    places: dict[tuple[str, frozenset[str]], list[int]] = {}
    for place, layer in enumerate(before):
        places.setdefault(_identity(layer), []).append(place)
    found: list[tuple[int, Change]] = []
    open_before, open_after = set(range(len(before))), set(range(len(after)))
    for place, layer in enumerate(after):
        same = places.get(_identity(layer))
        if same:
            partner = same.pop(0)
            found.append((place, Change((before[partner],), (layer,))))
            open_before.discard(partner)
            open_after.discard(place)
    for group_before, group_after in _groups(before, after, sorted(open_before), sorted(open_after)):
        change = Change(tuple(before[place] for place in group_before), tuple(after[place] for place in group_after))
        found.append((group_after[0] if group_after else len(after), change))
    return [change for _, change in sorted(found, key=lambda pair: pair[0])]


def _groups(
    before: Sequence[Layer], after: Sequence[Layer], places_before: list[int], places_after: list[int]
) -> list[tuple[list[int], list[int]]]:
    """The connected parts of the graph that joins layers with a node in common."""
    owners: dict[str, tuple[int, int]] = {}
    members = [(0, place) for place in places_before] + [(1, place) for place in places_after]
    parent = {member: member for member in members}

    def root(member: tuple[int, int]) -> tuple[int, int]:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for member in members:
        side, place = member
        for node in _nodes((before, after)[side][place]):
            parent[root(member)] = root(owners.setdefault(node, member))
    groups: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for member in members:
        side, place = member
        groups.setdefault(root(member), ([], []))[side].append(place)
    return [each for group in groups.values() for each in _separate(group)]


def _separate(group: tuple[list[int], list[int]]) -> list[tuple[list[int], list[int]]]:
    """A group; layers of one side alone that share a node are no change of one another, but each is one."""
    before, after = group
    if before and after:
        return [group]
    return [([place], []) for place in before] + [([], [place]) for place in after]


def _identity(layer: Layer) -> tuple[str, frozenset[str]]:
    return layer.name, frozenset(layer.onnx_nodes)


def _nodes(layer: Layer) -> tuple[str, ...]:
    """The nodes of a layer; by its name, which TensorRT joins with `` + ``, where the engine does not tell them."""
    return layer.onnx_nodes or tuple(layer.name.split(" + "))


def _precisions(layers: Sequence[Layer]) -> str:
    return "+".join(dict.fromkeys(layer.precision or "unknown" for layer in layers))
