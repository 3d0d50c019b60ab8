"""JSON that a stranger may have written, read so that all who use it can: every value can be computed with and written.

JSON can say more than its readers take: numbers that no float holds, half a surrogate pair, and, in Python's dialect,
``NaN``. What is read here without an error raises none later, where nobody expects it any more.
"""

from __future__ import annotations

import json
import math
from typing import Any


def strict_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises ``ValueError`` for everything else, and where it is nested too deep."""
    try:
        value = json.loads(data, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is out of range")
    return value


def _whole(text: str) -> int:
    _finite(text)
    return int(text)
