"""Optimization profiles against a model's inputs (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import Fault
from pipeline.manifest.types import ShapeRange
from pipeline.near import near_spelling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.manifest.types import Location, ModelSpec, Profile
    from pipeline.prepare.facts import ModelFacts, TensorFacts


def profile_faults(spec: ModelSpec, facts: ModelFacts) -> tuple[Fault, ...]:
    """Everything in which the profiles of ``spec`` do not fit the model.

    That min <= opt <= max holds was checked when the manifest was read.
    """
    path = f"models.{spec.name}.profiles"
    if not spec.profiles:
        return tuple(_missing_profile(spec.location, path, tensor) for tensor in facts.inputs if tensor.dynamic)
    faults: list[Fault] = []
    for number, profile in enumerate(spec.profiles):
        where = f"{path}[{number}]"
        faults.extend(_profile_faults(profile, where, facts.inputs))
        earlier = spec.profiles.index(profile)
        if earlier < number:
            faults.append(_fault(profile.location, where, f"is the same as profiles[{earlier}]", "remove one of them"))
    return tuple(faults)


def complete_profiles(spec: ModelSpec, facts: ModelFacts) -> tuple[Mapping[str, ShapeRange], ...]:
    """What the builder is told: for each profile, every input's shapes, fixed inputs included.

    A model without profiles gets one, of its fixed inputs. Inputs that ``profile_faults`` objects to may be missing.
    """
    profiles = [dict(profile.shapes) for profile in spec.profiles] or [{}]
    fixed = {tensor.name: _fixed_range(tensor) for tensor in facts.inputs if not tensor.dynamic}
    return tuple(
        {
            tensor.name: shapes
            for tensor in facts.inputs
            if (shapes := profile.get(tensor.name, fixed.get(tensor.name))) is not None
        }
        for profile in profiles
    )


def _profile_faults(profile: Profile, path: str, inputs: tuple[TensorFacts, ...]) -> Iterator[Fault]:
    by_name = {tensor.name: tensor for tensor in inputs}
    given = dict(profile.shapes)
    for name, shapes in profile.shapes:
        tensor = by_name.get(name)
        if tensor is None:
            near = near_spelling(name, by_name)
            known = ", ".join(map(repr, by_name)) or "none"
            yield _fault(
                profile.location, f"{path}.{name}", "the model has no such input", near or f"its inputs are {known}"
            )
        else:
            yield from _range_faults(tensor, shapes, profile.location, f"{path}.{name}")
    for tensor in inputs:
        if tensor.dynamic and tensor.name not in given:
            yield _missing_shapes(profile.location, path, tensor)
    yield from _unequal_faults(given, inputs, profile.location, path)


def _unequal_faults(
    given: Mapping[str, ShapeRange], inputs: tuple[TensorFacts, ...], location: Location, path: str
) -> Iterator[Fault]:
    """Axes of one name that cannot be equal: ONNX calls that the same size, and TensorRT holds a profile to it."""
    first: dict[str, tuple[str, int, ShapeRange]] = {}
    for tensor in inputs:
        shapes = given.get(tensor.name)
        if shapes is None or len(shapes.opt) != len(tensor.shape):
            continue
        for axis, size in enumerate(tensor.shape):
            if not isinstance(size, str):
                continue
            other, place, taken = first.setdefault(size, (tensor.name, axis, shapes))
            apart = shapes.min[axis] > taken.max[place] or shapes.max[axis] < taken.min[place]
            if apart or shapes.opt[axis] != taken.opt[place]:
                what = f"axis {axis} cannot equal axis {place} of {other!r}, and the model calls both {size!r}"
                fix = "give both the same sizes, or export the model with another name for one of them"
                yield _fault(location, f"{path}.{tensor.name}", what, fix)


def _range_faults(tensor: TensorFacts, shapes: ShapeRange, location: Location, path: str) -> Iterator[Fault]:
    declared = _words(tensor)
    if len(shapes.opt) != len(tensor.shape):
        what = f"has {len(shapes.opt)} axes, but the model's input has {len(tensor.shape)}: {declared}"
        yield _fault(location, path, what, "give one size per axis")
        return
    for axis, size in enumerate(tensor.shape):
        wrong = [
            f"{bound} {given[axis]}"
            for bound, given in (("min", shapes.min), ("opt", shapes.opt), ("max", shapes.max))
            if given[axis] != size
        ]
        if isinstance(size, int) and wrong:
            what = f"axis {axis} has {', '.join(wrong)}, but the model fixes it at {size}: {declared}"
            yield _fault(location, path, what, f"write {size} there, or export the model with this axis dynamic")


def _missing_profile(location: Location, path: str, tensor: TensorFacts) -> Fault:
    what = f"input {tensor.name!r} has dynamic axes {_words(tensor)} and no profile"
    return _fault(location, path, what, f"add one with min, opt and max of {tensor.name!r}, such as {_example(tensor)}")


def _missing_shapes(location: Location, path: str, tensor: TensorFacts) -> Fault:
    what = f"input {tensor.name!r} has dynamic axes {_words(tensor)} and is missing here"
    return _fault(location, path, what, f"add its min, opt and max, such as {_example(tensor)}")


def _fault(location: Location, path: str, what: str, fix: str) -> Fault:
    return Fault(location.file, location.line, location.column, path, what, fix)


def _fixed_range(tensor: TensorFacts) -> ShapeRange:
    shape = tuple(size for size in tensor.shape if isinstance(size, int))
    return ShapeRange(shape, shape, shape)


def _words(tensor: TensorFacts) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in tensor.shape)})"


def _example(tensor: TensorFacts) -> str:
    return str([size if isinstance(size, int) else 1 for size in tensor.shape])
