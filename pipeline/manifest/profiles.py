"""Optimization profiles, with the order of their shapes checked axis by axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.manifest.types import Profile, ShapeRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.errors import Fault
    from pipeline.manifest.node import Node

_BOUNDS = ("min", "opt", "max")


def profile_from_node(node: Node, faults: list[Fault]) -> Profile:
    """One profile: input name -> its shapes. A single shape stands for all three; inputs at fault are left out."""
    ranges = [(name, _shape_range(member, faults)) for name, member in node.members.items()]
    return Profile(tuple((name, shapes) for name, shapes in ranges if shapes is not None), node.location)


def profile_for_shapes(profiles: Iterable[Profile], shapes: Mapping[str, tuple[int, ...]]) -> Profile | None:
    """The first profile that takes all of ``shapes``, input name -> shape; ``None`` where none does."""
    return next((profile for profile in profiles if _takes(dict(profile.shapes), shapes)), None)


def _takes(ranges: Mapping[str, ShapeRange], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return all(name in ranges and _holds(ranges[name], shape) for name, shape in shapes.items())


def _holds(shapes: ShapeRange, shape: tuple[int, ...]) -> bool:
    if len(shape) != len(shapes.opt):
        return False
    return all(low <= size <= high for low, size, high in zip(shapes.min, shape, shapes.max, strict=True))


def _shape_range(node: Node, faults: list[Fault]) -> ShapeRange | None:
    shapes = [shape_from_node(node.members.get(bound) if node.members else node) for bound in _BOUNDS]
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


def shape_from_node(node: Node | None) -> tuple[int, ...] | None:
    """One shape; ``None`` where a part of it has a fault."""
    sizes = [item.value for item in node.items] if node else []
    whole = tuple(int(size) for size in sizes if isinstance(size, int | float))
    return whole if whole and len(whole) == len(sizes) else None
