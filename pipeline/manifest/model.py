"""One model of the manifest, defaults filled in, as a ``ModelSpec``; what no schema can say is checked on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.digest import Digest
from pipeline.manifest.benchmark import benchmark_from_node
from pipeline.manifest.calibration import calibration_from_node
from pipeline.manifest.jobs import add_refusals, precisions_from_node, targets_from_node
from pipeline.manifest.node import INVALID, Node, given_members, shown
from pipeline.manifest.profiles import profile_from_node
from pipeline.manifest.tolerances import tolerances_from_node
from pipeline.manifest.types import Accuracy, Budgets, BuildSettings, Metric, ModelSpec
from pipeline.precision import Precision

if TYPE_CHECKING:
    from pipeline.manifest.files import Files

_BUILD_KINDS = {
    "optimization_level": int,
    "workspace_mib": int,
    "timeout_s": float,
    "tactic_sources": tuple,
    "dla_core": int,
    "min_precision_share": float,
}


def model_from_node(node: Node, files: Files) -> ModelSpec | None:
    """The model, or ``None`` where its name or its file has a fault. Faults are added to ``files.faults``."""
    given = given_members(node)
    onnx = files.file(node.members.get("onnx"))
    targets = targets_from_node(node, files.faults)
    precisions = precisions_from_node(node, files.faults)
    build = _build(node.members.get("build"), files)
    add_refusals(node, targets, precisions, build, files.faults)
    listed = node.members.get("profiles")
    profiles = tuple(profile_from_node(item, files.faults) for item in (listed.items if listed else []))
    calibration = calibration_from_node(node, precisions, files)
    accuracy = _accuracy(node, precisions, files)
    benchmark = benchmark_from_node(node, profiles, files)
    if "name" not in given or onnx is None:
        return None
    return ModelSpec(
        name=given["name"],
        onnx=onnx,
        sha256=Digest("sha256", given["sha256"]) if "sha256" in given else None,
        profiles=profiles,
        targets=tuple(target for _, target in targets),
        precisions=tuple(precision for _, precision in precisions),
        calibration=calibration,
        build=build,
        accuracy=accuracy,
        budgets=_budgets(node.members.get("budgets")),
        benchmark=benchmark,
        location=node.location,
    )


def _build(node: Node | None, files: Files) -> BuildSettings:
    given = given_members(node)
    plugins = node.members.get("plugins") if node else None
    given["plugins"] = tuple(path for item in (plugins.items if plugins else []) if (path := files.file(item)))
    globs = given_members(node.members.get("layer_precisions") if node else None)
    given["layer_precisions"] = tuple((glob, Precision(word)) for glob, word in globs.items())
    given |= {name: kind(given[name]) for name, kind in _BUILD_KINDS.items() if name in given}
    return BuildSettings(**given)


def _accuracy(model: Node, precisions: list[tuple[Node, Precision]], files: Files) -> Accuracy | None:
    node = model.members.get("accuracy")
    if node is None or node.value is INVALID:
        return None
    if "data" not in node.members:
        owner = shown(given_members(model).get("name", model.path))
        fix = "add `data: evaluation.npz`, or remove `accuracy`"
        files.faults.append(node.fault(f"lacks `data`, so nothing of {owner} would be compared", fix))
    data, labels = files.data(node.members.get("data")), files.file(node.members.get("labels"), (".npy",))
    tolerances = node.members.get("tolerances")
    drop = tolerances.members.get(Metric.TOP1_DROP.value) if tolerances else None
    if drop is not None and "labels" not in node.members:
        files.faults.append(drop.fault("needs labels", "add `labels:` to `accuracy`, or remove this tolerance"))
    if data is None:
        return None
    samples = given_members(node).get("samples")
    return Accuracy(
        data=data,
        labels=labels,
        samples=None if samples is None else int(samples),
        tolerances=tolerances_from_node(tolerances, [each for _, each in precisions], labelled=labels is not None),
        location=node.location,
    )


def _budgets(node: Node | None) -> Budgets:
    given = given_members(node)
    limits = ("engine_size_mib", "build_s", "latency_ms", "regression_percent")
    return Budgets(**{name: float(given[name]) for name in limits if name in given})
