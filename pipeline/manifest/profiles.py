"""Optimization profiles, with the order of their shapes checked axis by axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.manifest.types import Profile, ShapeRange

if TYPE_CHECKING:
    from pipeline.errors import Fault
    from pipeline.manifest.node import Node

_BOUNDS = ("min", "opt", "max")


def profile_from_node(node: Node, faults: list[Fault]) -> Profile:
    """One profile: input name -> its shapes. A single shape stands for all three; inputs at fault are left out."""
    ranges = [(name, _shape_range(member, faults)) for name, member in node.members.items()]
    return Profile(tuple((name, shapes) for name, shapes in ranges if shapes is not None), node.location)


def _shape_range(node: Node, faults: list[Fault]) -> ShapeRange | None:
    shapes = [_shape(node.members.get(bound) if node.members else node) for bound in _BOUNDS]
    low, best, high = shapes
    if low is None or best is None or high is None:
        return None
    if not len(low) == len(best) == len(high):
        what = f"min, opt and max have {len(low)}, {len(best)} and {len(high)} axes"
        faults.append(node.fault(what, "give all three the same number of axes"))
        return None
    for smaller, larger, less, more in (("min", "opt", low, best), ("opt", "max", best, high)):
        for axis in range(len(low)):
            if less[axis] > more[axis]:
                what = f"{smaller} {less[axis]} is larger than {larger} {more[axis]} on axis {axis}"
                faults.append(node.at([smaller, axis]).fault(what, "make min <= opt <= max on every axis"))
    return ShapeRange(low, best, high)


def _shape(node: Node | None) -> tuple[int, ...] | None:
    sizes = [item.value for item in node.items] if node else []
    whole = tuple(int(size) for size in sizes if isinstance(size, int | float))
    return whole if whole and len(whole) == len(sizes) else None
