"""``benchmark:`` of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.manifest.defaults import written_in_defaults
from pipeline.manifest.node import INVALID, Node, given_members
from pipeline.manifest.profiles import profile_for_shapes, shape_from_node
from pipeline.manifest.types import Benchmark, Items, PyTorchModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.errors import Fault
    from pipeline.manifest.files import Files
    from pipeline.manifest.types import Profile

_KINDS = {"warmup_s": float, "duration_s": float, "streams": int, "cuda_graph": bool, "seed": int, "originals": tuple}


def benchmark_from_node(model: Node, profiles: Sequence[Profile], files: Files) -> Benchmark | None:
    """The benchmark of ``model``; ``None`` where it has none. Faults are added to ``files``."""
    node = model.members.get("benchmark")
    if node is None or node.value is INVALID:
        return None
    members = node.members
    given = given_members(node)
    settings = {name: kind(given[name]) for name, kind in _KINDS.items() if name in given}
    if "data" in members and "seed" in members and not written_in_defaults(members["seed"]):
        files.faults.append(members["seed"].fault("is not read beside `data`", "remove `seed`, or `data`"))
    return Benchmark(
        shapes=_shapes(members.get("shapes"), profiles, files.faults),
        items=_items(members.get("items")),
        data=files.data(members.get("data")),
        pytorch=_pytorch(node, files.faults),
        location=node.location,
        **settings,
    )


def _shapes(
    node: Node | None, profiles: Sequence[Profile], faults: list[Fault]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    named = {name: shape_from_node(member) for name, member in (node.members if node else {}).items()}
    shapes = {name: shape for name, shape in named.items() if shape is not None}
    if node is not None and len(shapes) == len(named) and profile_for_shapes(profiles, shapes) is None:
        what = "fits no profile" if profiles else "needs a profile, and the model has none"
        faults.append(node.fault(what, "choose shapes within one profile, or add a profile"))
    return tuple(shapes.items())


def _items(node: Node | None) -> Items | None:
    given = given_members(node)
    if "per_inference" not in given or "unit" not in given:
        return None
    return Items(float(given["per_inference"]), given["unit"])


def _pytorch(node: Node, faults: list[Fault]) -> PyTorchModel | None:
    """Given exactly where ``originals`` asks for it, or ``originals`` may not be what its writer meant."""
    originals, pytorch = node.members.get("originals"), node.members.get("pytorch")
    asked = "pytorch" in [item.value for item in (originals.items if originals else [])]
    if asked and pytorch is None and originals is not None:
        faults.append(originals.fault("has pytorch, and no model for it is named", "add `pytorch:` beside it"))
    if pytorch is None:
        return None
    if not asked and not written_in_defaults(pytorch):
        faults.append(pytorch.fault("is not in `originals`", "add `originals: [pytorch]`, or remove `pytorch`"))
    given = given_members(pytorch)
    if not asked or "model" not in given or "interpreter" not in given:
        return None
    return PyTorchModel(
        model=given["model"], interpreter=Path(given["interpreter"]), inputs=tuple(given.get("inputs", ()))
    )
