"""What TensorRT calls a number type, in formats, weights and kernel names, as one word each."""

from __future__ import annotations

import re

_WORDS = (
    ("bf16", r"bf16|bfloat16|bfloat"),
    ("fp16", r"fp16|half|float16"),
    ("fp8", r"fp8|fp8e4m3|e4m3|e5m2"),
    ("fp4", r"fp4|fp4e2m1|e2m1"),
    ("e8m0", r"e8m0"),
    ("uint8", r"uint8"),
    ("int8", r"int8"),
    ("int4", r"int4"),
    ("int64", r"int64"),
    ("int32", r"int32"),
    ("bool", r"bool"),
    ("tf32", r"tf32"),
    ("fp32", r"fp32|float32|float"),
)
_DTYPE = re.compile("|".join(rf"(?P<{word}>\bk?(?:{pattern})\b)" for word, pattern in _WORDS), re.IGNORECASE)

_OPERANDS = {"f32": "fp32", "tf32": "tf32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "i4": "int4",
             "e4m3": "fp8", "e5m2": "fp8", "e2m1": "fp4"}  # fmt: skip
_TYPE = "|".join(_OPERANDS)
_KERNEL_OPERANDS = re.compile(rf"(?:^|_)(?P<operand>{_TYPE})(?:{_TYPE}|i32)(?:_|$)")
"""Kernels name their types as ``i8f32_i8i32_f32``: operand and result, then operand and accumulator."""
_KERNEL_WORDS = (
    ("int8", re.compile(r"int8|imma|i8816|i16832", re.IGNORECASE)),
    ("fp8", re.compile(r"fp8|e4m3|e5m2|qmma", re.IGNORECASE)),
    ("bf16", re.compile(r"bf16", re.IGNORECASE)),
    ("fp16", re.compile(r"fp16|half|hmma|(?:^|_)h(?:884|1688|16816)", re.IGNORECASE)),
    ("tf32", re.compile(r"tf32", re.IGNORECASE)),
    ("fp32", re.compile(r"fp32|kFLOAT|sgemm|scudnn|ffma")),
)
_UNKNOWN = re.compile(r"N/A|unknown", re.IGNORECASE)


def dtype_from_text(text: str) -> str | None:
    """The type that ``text`` names, such as ``Half`` or ``Row major linear FP16 format``; ``None`` for none."""
    match = _DTYPE.search(text)
    return match.lastgroup if match else None


def layout_from_text(text: str) -> str | None:
    """A format's text without its type: ``Channel major where channel % 8 == 0``; ``None`` where it names none."""
    if _UNKNOWN.match(text):
        return None
    bare = re.sub(r"\bformat\b", "", _DTYPE.sub("", text))
    return " ".join(bare.split()) or None


def operand_from_kernel(name: str) -> str | None:
    """The type of the factors that a kernel multiplies, from the code in its name; ``None`` where it has none."""
    match = _KERNEL_OPERANDS.search(name)
    return _OPERANDS[match["operand"]] if match else None


def dtype_from_kernel(name: str) -> str | None:
    """The type that a kernel works in, from any hint in its name."""
    return operand_from_kernel(name) or next((word for word, pattern in _KERNEL_WORDS if pattern.search(name)), None)
