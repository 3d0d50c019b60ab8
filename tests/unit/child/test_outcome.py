from __future__ import annotations

import json

import pytest

from pipeline.build.refit_outcome import NotRefittableError
from pipeline.child.outcome import NotAnOutcomeError, outcome_from_error, outcome_from_result, result_from_outcome
from pipeline.errors import (
    AccuracyError,
    BuildError,
    Cancelled,
    DeviceError,
    ModelError,
    PipelineError,
    RegressionError,
    SettingsError,
)


def test_a_result_is_read_back_as_it_was() -> None:
    result = {"text": "é\n", "number": 0.1, "nested": {"list": [None, True, 1]}}
    assert result_from_outcome(outcome_from_result(result)) == result


@pytest.mark.parametrize(
    "kind", [AccuracyError, BuildError, DeviceError, ModelError, NotRefittableError, RegressionError, SettingsError]
)
def test_an_error_crosses_as_its_class_with_its_parts(kind: type[PipelineError]) -> None:
    with pytest.raises(kind) as caught:
        result_from_outcome(outcome_from_error(kind("what", why="why", fix="fix", where="where")))
    assert type(caught.value) is kind
    assert caught.value.args == ("what", "why", "fix", "where")


def test_an_error_that_no_task_may_raise_crosses_as_a_build_error() -> None:
    with pytest.raises(BuildError, match="what"):
        result_from_outcome(outcome_from_error(Cancelled("what")))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_what_json_cannot_say_is_no_result(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        outcome_from_result({"value": value})


PARTS = {"class": "ModelError", "what": "a", "why": "b", "fix": "c", "where": "d"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"result": 1}',
        '{"result": {}, "error": {}}',
        '{"result": {"x": NaN}}',
        '{"result": {"x": -Infinity}}',
        "[" * 100_000,
        json.dumps({"error": {}}),
        json.dumps({"error": {**PARTS, "class": "Cancelled"}}),
        json.dumps({"error": {**PARTS, "class": ["ModelError"]}}),
        json.dumps({"error": {**PARTS, "what": None}}),
        json.dumps({"error": {**PARTS, "more": "x"}}),
        json.dumps({"error": {"class": "ModelError", "what": "a"}}),
    ],
)
def test_anything_else_is_no_outcome(text: str) -> None:
    with pytest.raises(NotAnOutcomeError):
        result_from_outcome(text.encode())


def test_bytes_that_are_not_text_are_no_outcome() -> None:
    with pytest.raises(NotAnOutcomeError):
        result_from_outcome(b'{"result": {"\xff": 1}}')
