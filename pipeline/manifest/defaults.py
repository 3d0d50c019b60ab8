"""``defaults:`` poured into each model: mappings merge key by key, all else is replaced; each value keeps its place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.manifest.node import Node


def models_with_defaults(root: Node) -> tuple[Node, ...]:
    """Each model of the document as one mapping with its defaults filled in."""
    listed, defaults = root.members.get("models"), root.members.get("defaults")
    models = tuple(item for item in listed.items if isinstance(item.value, dict)) if listed else ()
    return tuple(_merged(defaults, model) for model in models) if defaults else models


def written_in_defaults(node: Node) -> bool:
    """Whether a merged value comes from ``defaults`` and not from the model."""
    return node.path.startswith("defaults.")


def _merged(below: Node, above: Node) -> Node:
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    members = dict(below.value)
    for name, member in above.value.items():
        members[name] = _merged(members[name], member) if name in members else member
    return replace(above, value=members)
