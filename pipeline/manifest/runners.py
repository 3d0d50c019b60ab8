"""``runners:`` of a manifest: which runners build which target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.manifest.node import INVALID
from pipeline.near import near_spelling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.errors import Fault
    from pipeline.manifest.node import Node
    from pipeline.manifest.types import ModelSpec

DEFAULT = "default"


def runners_from_node(
    node: Node | None, models: Iterable[ModelSpec | None], faults: list[Fault]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Target id or ``default`` -> labels. A target that no model has is a fault, because it is most often misspelt."""
    models = tuple(models)
    targets = {target.id for model in models if model for target in model.targets} | {DEFAULT}
    runners = []
    for name, member in (node.members if node else {}).items():
        if name not in targets and None not in models:
            fix = near_spelling(name, targets) or f"use one of {', '.join(sorted(targets))}"
            faults.append(member.fault("no model has this target", fix))
        labels = tuple(str(item.value) for item in member.items if item.value is not INVALID)
        runners.append((name, labels))
    return tuple(runners)
