"""Reads what TensorRT's engine inspector prints, of 8.6 to 11.x, into layers of one form. Pure text.

The versions differ so: up to 10.x a tensor has ``Format/Datatype``, from 11.0 on ``Format`` and ``Datatype`` (NVIDIA's
guide to migrating ``IEngineInspector`` from 10.x to 11.x). An engine that was not built with detailed verbosity gives
names in place of objects. 8.6 separates the nodes in ``Metadata`` by raw control characters, which JSON forbids.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.inspection.datatypes import dtype_from_kernel, dtype_from_text, layout_from_text, operand_from_kernel
from pipeline.inspection.layers import Layer, LayerTensor

_STRING_OR_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:nan|inf)\b', re.DOTALL | re.IGNORECASE)
_BAD_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|)')
_NODE = re.compile(r"\[ONNX Layer: (.*?)\](?=[\x00-\x1f]|\s*\[ONNX Layer: |\s*$)", re.DOTALL)
_OPAQUE = re.compile(r"myelin|foreignnode", re.IGNORECASE)
_NOT_A_FACTOR = frozenset({"bool", "int32", "int64", "uint8"})
_NARROW = ("fp4", "int4", "fp8", "int8", "fp16", "bf16")


def layers_from_inspector(text: str) -> tuple[Layer, ...]:
    """The layers that ``get_engine_information(LayerInformationFormat.JSON)`` tells of.

    Raises ``ValueError`` for text that is not the inspector's, however leniently it is read.
    """
    data = _lenient_json(text)
    entries = data.get("Layers") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise ValueError("the engine inspector's text has no list of layers")  # noqa: TRY004  one error for bad text
    return tuple(map(_layer, entries))


def _lenient_json(text: str) -> Any:
    """JSON with raw control characters in strings, and where that fails also with bad escapes and bare nan or inf."""
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return json.loads(_STRING_OR_WORD.sub(_mended, text), strict=False)


def _mended(match: re.Match[str]) -> str:
    token = match[0]
    if not token.startswith('"'):
        return "null"
    return _BAD_ESCAPE.sub(lambda escape: escape[0] if escape[1] else r"\\", token)


def _layer(entry: object) -> Layer:
    if not isinstance(entry, dict):
        name = str(entry)
        return Layer(name=name, type=None, precision=None, tactic=None, inputs=(), outputs=(), onnx_nodes=())
    kind = _text(entry.get("LayerType")) or _text(entry.get("ParameterType"))
    inputs, outputs = _tensors(entry.get("Inputs")), _tensors(entry.get("Outputs"))
    return Layer(
        name=_text(entry.get("Name")) or "",
        type=kind,
        precision=_precision(entry, kind or "", inputs, outputs),
        tactic=_text(entry.get("TacticName")),
        inputs=inputs,
        outputs=outputs,
        onnx_nodes=tuple(dict.fromkeys(_NODE.findall(_text(entry.get("Metadata")) or ""))),
    )


def _precision(
    entry: dict[str, Any], kind: str, inputs: tuple[LayerTensor, ...], outputs: tuple[LayerTensor, ...]
) -> str | None:
    """The type of the factors: by the kernel's name, else by the weights, else by what goes in.

    A Myelin layer is many kernels, whose types its inputs do not tell: an FP16 network may begin and end in FP32.
    """
    tactic = _text(entry.get("TacticName")) or ""
    weights = entry.get("Weights")
    weights_type = _text(weights.get("Type")) if isinstance(weights, dict) and weights.get("Count") else None
    told = operand_from_kernel(tactic) or dtype_from_text(weights_type or "") or dtype_from_kernel(tactic)
    if told is not None:
        return told
    dtypes = [tensor.dtype for tensor in (*inputs, *outputs)]
    if _OPAQUE.search(kind) or _OPAQUE.search(_text(entry.get("Name")) or ""):
        return next((word for word in _NARROW if word in dtypes), None)
    return next((dtype for dtype in dtypes if dtype is not None and dtype not in _NOT_A_FACTOR), None)


def _tensors(entries: object) -> tuple[LayerTensor, ...]:
    return tuple(_tensor(entry) for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()


def _tensor(entry: dict[str, Any]) -> LayerTensor:
    both = _text(entry.get("Format/Datatype")) or ""
    kind = _text(entry.get("Datatype")) or _text(entry.get("DataType")) or both
    layout = _text(entry.get("Format")) or both
    dims = entry.get("Dimensions")
    return LayerTensor(
        name=_text(entry.get("Name")) or "",
        dtype=dtype_from_text(kind) or dtype_from_text(layout),
        format=layout_from_text(layout),
        dims=tuple(size for size in dims if type(size) is int) if isinstance(dims, list) else (),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
