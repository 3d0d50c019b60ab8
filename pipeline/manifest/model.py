"""One model of the manifest, defaults filled in, as a ``ModelSpec``; what no schema can say is checked on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.digest import Digest
from pipeline.manifest.defaults import written_in_defaults
from pipeline.manifest.jobs import add_refusals, precisions_from_node, targets_from_node
from pipeline.manifest.node import INVALID, Node, shown
from pipeline.manifest.profiles import profile_from_node
from pipeline.manifest.tolerances import tolerances_from_node
from pipeline.manifest.types import (
    Accuracy,
    Budgets,
    BuildSettings,
    Calibration,
    CalibrationMethod,
    Metric,
    ModelSpec,
)
from pipeline.precision import Precision

if TYPE_CHECKING:
    from pipeline.errors import Fault
    from pipeline.manifest.files import Files


def model_from_node(node: Node, files: Files) -> ModelSpec | None:
    """The model, or ``None`` where its name or its file has a fault. Faults are added to ``files.faults``."""
    given = _given(node)
    onnx = files.file(node.members.get("onnx"))
    targets = targets_from_node(node, files.faults)
    precisions = precisions_from_node(node, files.faults)
    build = _build(node.members.get("build"), files)
    add_refusals(node, targets, precisions, build, files.faults)
    listed = node.members.get("profiles")
    profiles = tuple(profile_from_node(item, files.faults) for item in (listed.items if listed else []))
    calibration = _calibration(node, precisions, files)
    accuracy = _accuracy(node, precisions, files)
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
        location=node.location,
    )


def _build(node: Node | None, files: Files) -> BuildSettings:
    given = _given(node)
    plugins = node.members.get("plugins") if node else None
    given["plugins"] = tuple(path for item in (plugins.items if plugins else []) if (path := files.file(item)))
    globs = _given(node.members.get("layer_precisions") if node else None)
    given["layer_precisions"] = tuple((glob, Precision(word)) for glob, word in globs.items())
    for name in ("optimization_level", "workspace_mib"):
        if name in given:
            given[name] = int(given[name])
    if "tactic_sources" in given:
        given["tactic_sources"] = tuple(given["tactic_sources"])
    if "timeout_s" in given:
        given["timeout_s"] = float(given["timeout_s"])
    return BuildSettings(**given)


def _calibration(model: Node, precisions: list[tuple[Node, Precision]], files: Files) -> Calibration | None:
    node = model.members.get("calibration")
    if node is not None and node.value is INVALID:
        return None
    if node is None or "data" not in node.members:
        files.faults.extend(_missing_calibration(model, node, precisions))
    if node is None:
        return None
    _check_percentile(node, files.faults)
    data = files.data(node.members.get("data"))
    if data is None:
        return None
    given = _given(node)
    del given["data"]
    for name in ("samples", "batch_size"):
        if name in given:
            given[name] = int(given[name])
    if "method" in given:
        given["method"] = CalibrationMethod(given["method"])
    if "percentile" in given:
        given["percentile"] = float(given["percentile"])
    return Calibration(data=data, location=node.location, **given)


def _missing_calibration(model: Node, node: Node | None, precisions: list[tuple[Node, Precision]]) -> list[Fault]:
    """Part of a calibration may stand in ``defaults``: it asks for nothing until a model has an INT8 precision."""
    quantized = [(place, precision) for place, precision in precisions if precision.quantized]
    if not quantized and node is not None and not written_in_defaults(node):
        return [node.fault("lacks `data`", "add `data: calibration.npz`, or remove `calibration`")]
    owner = shown(_given(model).get("name", model.path))
    fix = "add `calibration:` with `data:`, or remove this precision"
    return [place.fault(f"{each} needs calibration data, and {owner} has none", fix) for place, each in quantized]


def _check_percentile(node: Node, faults: list[Fault]) -> None:
    percentile, method = node.members.get("percentile"), node.members.get("method")
    if percentile is None or (method is not None and method.value in (INVALID, "percentile")):
        return
    if method is not None and written_in_defaults(percentile) and not written_in_defaults(method):
        return
    used = method.value if method else CalibrationMethod.ENTROPY
    fix = "set `method: percentile`, or remove `percentile`"
    faults.append(percentile.fault(f"is only read by the method percentile, and the method is {used}", fix))


def _accuracy(model: Node, precisions: list[tuple[Node, Precision]], files: Files) -> Accuracy | None:
    node = model.members.get("accuracy")
    if node is None or node.value is INVALID:
        return None
    if "data" not in node.members:
        owner = shown(_given(model).get("name", model.path))
        fix = "add `data: evaluation.npz`, or remove `accuracy`"
        files.faults.append(node.fault(f"lacks `data`, so nothing of {owner} would be compared", fix))
    data, labels = files.data(node.members.get("data")), files.file(node.members.get("labels"), (".npy",))
    tolerances = node.members.get("tolerances")
    drop = tolerances.members.get(Metric.TOP1_DROP.value) if tolerances else None
    if drop is not None and "labels" not in node.members:
        files.faults.append(drop.fault("needs labels", "add `labels:` to `accuracy`, or remove this tolerance"))
    if data is None:
        return None
    samples = _given(node).get("samples")
    return Accuracy(
        data=data,
        labels=labels,
        samples=None if samples is None else int(samples),
        tolerances=tolerances_from_node(tolerances, [each for _, each in precisions], labelled=labels is not None),
        location=node.location,
    )


def _budgets(node: Node | None) -> Budgets:
    given = _given(node)
    return Budgets(**{name: float(given[name]) for name in ("engine_size_mib", "build_s") if name in given})


def _given(node: Node | None) -> dict[str, Any]:
    """The members that have a value without a fault."""
    return (
        {name: member.plain() for name, member in node.members.items() if member.value is not INVALID} if node else {}
    )
