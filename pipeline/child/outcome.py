"""What a child says when it has finished: one JSON object, a result or an error that crosses with its parts."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline.build.refit_outcome import NotRefittableError
from pipeline.errors import (
    AccuracyError,
    BuildError,
    DeviceError,
    ModelError,
    PipelineError,
    RegressionError,
    SettingsError,
)
from pipeline.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTCOME_LIMIT_BYTES = 64 << 20
"""More than the node names of any model need; a child that sends more is ended."""

MEMORY_FIX = "use a machine with more memory, or run fewer jobs at once (`--workers`)"

_CROSSING: Mapping[str, type[PipelineError]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            AccuracyError,
            BuildError,
            DeviceError,
            ModelError,
            NotRefittableError,
            RegressionError,
            SettingsError,
        )
    }
)
_PARTS = ("what", "why", "fix", "where")


class NotAnOutcomeError(ValueError):
    """The bytes that a child sent are not an outcome."""


def outcome_from_result(result: Mapping[str, Any]) -> bytes:
    """The outcome of a task that succeeded. Raises ``ValueError`` or ``TypeError`` for what JSON cannot say."""
    return json.dumps({"result": result}, allow_nan=False).encode()


def outcome_from_error(error: PipelineError) -> bytes:
    """The outcome of a task that failed."""
    kind = type(error).__name__ if type(error).__name__ in _CROSSING else BuildError.__name__
    return json.dumps({"error": {"class": kind, **{part: str(getattr(error, part)) for part in _PARTS}}}).encode()


def result_from_outcome(data: bytes) -> dict[str, Any]:
    """The result that an outcome holds.

    Raises the error that it holds, as the class that was raised in the child, and ``NotAnOutcomeError``.
    """
    try:
        value = strict_json(data)
    except ValueError as error:
        raise NotAnOutcomeError(str(error)) from None
    match value:
        case {"result": dict(result)} if len(value) == 1:
            return result
        case {"error": dict(parts)} if len(value) == 1:
            raise _error_from_parts(parts)
    raise NotAnOutcomeError("neither a result nor an error")


def _error_from_parts(parts: dict[str, Any]) -> PipelineError:
    texts = {name: parts.get(name) for name in ("class", *_PARTS)}
    kind = _CROSSING.get(str(texts.pop("class")))
    if kind is None or parts.keys() != {"class", *_PARTS} or not all(isinstance(text, str) for text in texts.values()):
        raise NotAnOutcomeError("an error of no known class")
    return kind(str(texts["what"]), why=str(texts["why"]), fix=str(texts["fix"]), where=str(texts["where"]))
