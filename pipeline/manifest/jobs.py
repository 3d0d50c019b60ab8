"""The targets and precisions of a model, and what this version refuses to build of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.manifest.node import INVALID, Node, shown
from pipeline.precision import Precision
from pipeline.runtimes import build_refusals, precision_refusals, run_refusals, target_refusals
from pipeline.targets import COMPUTE_CAPABILITIES, GPUS, TENSORRT, Target

if TYPE_CHECKING:
    from pipeline.errors import Fault
    from pipeline.manifest.types import BuildSettings
    from pipeline.runtimes import Refusal


def targets_from_node(model: Node, faults: list[Fault]) -> list[tuple[Node, Target]]:
    """Each target with the place where it was written; ids are unique, upper and lower case alike."""
    runtime = model.members["runtime"].value if "runtime" in model.members else TENSORRT
    if not isinstance(runtime, str):
        return []
    pairs: list[tuple[Node, Target]] = []
    first: dict[str, Node] = {}
    for node in _required(model, "targets", "[l4]", faults):
        target = _target(node, runtime, faults)
        if target is None:
            continue
        if target.id.casefold() in first:
            where = first[target.id.casefold()].location
            what = f"is a second target named {shown(target.id)}, after line {where.line} column {where.column}"
            faults.append(node.fault(what, f"remove it, or add a `name:` such as {target.id}-{target.runtime}"))
            continue
        first[target.id.casefold()] = node
        pairs.append((node, target))
    return pairs


def precisions_from_node(model: Node, faults: list[Fault]) -> list[tuple[Node, Precision]]:
    """Each precision with the place where it was written, none twice."""
    pairs: list[tuple[Node, Precision]] = []
    for node in _required(model, "precisions", "[fp16]", faults):
        precision = Precision(node.value)
        if any(precision is other for _, other in pairs):
            faults.append(node.fault(f"{precision} is listed twice", "remove one of the two"))
            continue
        pairs.append((node, precision))
    return pairs


def add_refusals(
    model: Node,
    targets: list[tuple[Node, Target]],
    precisions: list[tuple[Node, Precision]],
    build: BuildSettings,
    faults: list[Fault],
) -> None:
    """A fault for everything that today's backends cannot honour, at the line that asks for it."""

    def add(node: Node | None, refusals: tuple[Refusal, ...]) -> None:
        if node is not None and node.value is not INVALID:
            faults.extend(node.fault(refusal.reason, refusal.fix) for refusal in refusals)

    timed = "benchmark" in model.members
    for refusal in run_refusals([target for _, target in targets], build, timed=timed):
        add(_member(model, refusal.field), (refusal,))
    for target_node, target in targets:
        refused = target_refusals(target)
        add(target_node, refused)
        for refusal in build_refusals(target, build):
            add(_member(model, refusal.field), (refusal,))
        for precision_node, precision in precisions:
            add(precision_node, () if refused else precision_refusals(target, precision))


def _required(model: Node, name: str, example: str, faults: list[Fault]) -> list[Node]:
    node = model.members.get(name)
    if node is None:
        faults.append(model.fault(f"lacks `{name}`", f"add `{name}: {example}`, here or in `defaults`"))
        return []
    return [item for item in node.items if item.value is not INVALID]


def _target(node: Node, runtime: str, faults: list[Fault]) -> Target | None:
    fields: dict[str, Any] = {name: member.value for name, member in node.members.items()}
    if not fields:
        fields = {"gpu": node.value} if isinstance(node.value, str) else {}
    if INVALID in fields.values():
        return None
    gpu, capability = fields.get("gpu"), fields.get("compute_capability")
    if (gpu is None) == (capability is None):
        what = "names neither `gpu` nor `compute_capability`" if gpu is None else "names `gpu` and `compute_capability`"
        faults.append(node.fault(what, "give one of the two"))
        return None
    if gpu is not None:
        pair = GPUS[gpu].compute_capability
    else:
        major, minor = str(capability).split(".")
        pair = int(major), int(minor)
    if pair not in COMPUTE_CAPABILITIES:
        known = ", ".join(f"{major}.{minor}" for major, minor in COMPUTE_CAPABILITIES)
        place = node.members["compute_capability"]
        faults.append(place.fault(f"no GPU has the compute capability {capability}", f"use one of {known}"))
        return None
    target = Target("", str(fields.get("runtime", runtime)), pair, gpu)
    return Target(str(fields.get("name", gpu or target.sm)), target.runtime, pair, gpu)


def _member(model: Node, path: tuple[str, ...]) -> Node | None:
    node: Node | None = model
    for name in path:
        node = node.members.get(name) if node else None
    return node
