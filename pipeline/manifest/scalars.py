"""What a plain YAML scalar means: the core schema of YAML 1.2 (chapter 10.3), and nothing of YAML 1.1.

So ``no``, ``on`` and ``12:30`` are text, ``1e3`` is a number and ``010`` is ten.
"""

from __future__ import annotations

import math
import re

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_NUMBER = 40


def scalar_from_text(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar. Raises ``ValueError`` for a number that is infinite, huge or not a number."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("must be a finite number")
    is_integer = _INTEGER.fullmatch(text) is not None
    is_based = _BASED_INTEGER.fullmatch(text) is not None
    if not (is_integer or is_based or _FLOAT.fullmatch(text)):
        return text
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"is a number of more than {_LONGEST_NUMBER} characters")
    if is_integer:
        return int(text)
    if is_based:
        return int(text, 0)
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number
