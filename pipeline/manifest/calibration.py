"""``calibration:`` of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.manifest.defaults import written_in_defaults
from pipeline.manifest.node import INVALID, Node, given_members, shown
from pipeline.manifest.types import Calibration, CalibrationMethod

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.errors import Fault
    from pipeline.manifest.files import Files
    from pipeline.precision import Precision

_KINDS: dict[str, Callable[[Any], Any]] = {
    "samples": int,
    "batch_size": int,
    "method": CalibrationMethod,
    "percentile": float,
    "reuse_within": lambda text: float(text.rstrip("%")) / 100,
}


def calibration_from_node(model: Node, precisions: list[tuple[Node, Precision]], files: Files) -> Calibration | None:
    """The calibration of ``model``; ``None`` where it has none or one with a fault, which is added to ``files``."""
    node = model.members.get("calibration")
    if node is not None and node.value is INVALID:
        return None
    source = _source(node, files.faults) if node else None
    if source is None:
        files.faults.extend(_missing(model, node, precisions))
    if node is None or source is None:
        return None
    if source == "table":
        table = files.file(node.members["table"])
        return Calibration(table=table, location=node.location) if table else None
    _check_percentile(node, files.faults)
    _check_legacy(model, node, files.faults)
    _check_reuse(model, node, files.faults)
    data = files.data(node.members["data"])
    given = given_members(node)
    settings = {name: kind(given[name]) for name, kind in _KINDS.items() if name in given}
    return Calibration(data=data, location=node.location, **settings) if data else None


def _source(node: Node, faults: list[Fault]) -> str | None:
    """``table`` or ``data``, whichever holds; the model's own beats that of ``defaults``."""
    given = [name for name in ("table", "data") if name in node.members]
    if len(given) < 2:
        if given == ["table"]:
            faults.extend(_unread_beside_table(node))
        return given[0] if given else None
    table_below, data_below = (written_in_defaults(node.members[name]) for name in given)
    if table_below != data_below:
        return "data" if table_below else "table"
    what, fix = "takes the place of `data`, and both are given", "remove `table`, or `data` with its settings"
    faults.append(node.members["table"].fault(what, fix))
    return "data"


def _unread_beside_table(node: Node) -> list[Fault]:
    unread = [member for name, member in node.members.items() if name != "table" and not written_in_defaults(member)]
    return [member.fault("is not read beside `table`", "remove it, or `table`") for member in unread]


def _missing(model: Node, node: Node | None, precisions: list[tuple[Node, Precision]]) -> list[Fault]:
    """Part of a calibration may stand in ``defaults``: it asks for nothing until a model has an INT8 precision."""
    quantized = [(place, precision) for place, precision in precisions if precision.quantized]
    if not quantized and node is not None and not written_in_defaults(node):
        return [node.fault("lacks `data`", "add `data: calibration.npz`, or remove `calibration`")]
    owner = shown(given_members(model).get("name", model.path))
    fix = "add `calibration:` with `data:`, or remove this precision"
    return [place.fault(f"{each} needs calibration data, and {owner} has none", fix) for place, each in quantized]


def _check_percentile(node: Node, faults: list[Fault]) -> None:
    percentile, method = node.members.get("percentile"), node.members.get("method")
    if percentile is None or (method is not None and method.value in (INVALID, "percentile", "legacy")):
        return
    if method is not None and written_in_defaults(percentile) and not written_in_defaults(method):
        return
    used = method.value if method else CalibrationMethod.ENTROPY
    fix = "set `method: percentile`, or remove `percentile`"
    faults.append(percentile.fault(f"is only read by the method percentile, and the method is {used}", fix))


def _check_legacy(model: Node, node: Node, faults: list[Fault]) -> None:
    """Only TensorRT has the legacy calibrator, and only its implicit road asks TensorRT to calibrate."""
    method, build = node.members.get("method"), model.members.get("build")
    road = given_members(build).get("int8", "explicit")
    if method is not None and method.value == CalibrationMethod.LEGACY and road != "implicit":
        what = "is TensorRT's own calibrator, which `int8: explicit` does not use"
        faults.append(method.fault(what, "set `int8: implicit` in `build`, or choose entropy, minmax or percentile"))


def _check_reuse(model: Node, node: Node, faults: list[Fault]) -> None:
    """TensorRT's own calibrators do not tell the ranges of a sample."""
    reuse, method, build = node.members.get("reuse_within"), node.members.get("method"), model.members.get("build")
    by_tensorrt = given_members(build).get("int8", "explicit") == "implicit" and (
        method is None or method.value != CalibrationMethod.PERCENTILE
    )
    if reuse is not None and by_tensorrt:
        what = "needs ranges of a sample, which TensorRT's own calibrators do not tell"
        faults.append(reuse.fault(what, "remove it, or use `int8: explicit`"))
