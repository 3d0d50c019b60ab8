from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.build.plan_header import PlanHeader
from pipeline.build.refit_outcome import Refit, refit_from_json, refit_to_json
from pipeline.build.request import (
    BuildOutcome,
    BuildRequest,
    EngineTensor,
    outcome_from_json,
    outcome_to_json,
    request_from_json,
    request_to_json,
)
from pipeline.digest import digest_from_bytes
from pipeline.manifest.types import ShapeRange
from pipeline.precision import Precision

REQUEST = BuildRequest(
    runtime="tensorrt-rtx",
    model=Path("/work/model.onnx"),
    compute_capability=(8, 9),
    precision=Precision.INT8_FP16,
    profiles=({"x": ShapeRange((1, 3), (4, 3), (8, 3)), "y": ShapeRange((1,), (1,), (1,))}, {}),
    optimization_level=3,
    workspace_mib=512,
    sparsity=True,
    profiling_verbosity="detailed",
)
FULL = BuildRequest(
    runtime="tensorrt",
    model=Path("/m.onnx"),
    compute_capability=(9, 0),
    precision=Precision.INT8_FP16,
    typing="weak",
    tactic_sources=("cudnn",),
    version_compatible=True,
    hardware_compatibility="ampere+",
    refit=True,
    strip_weights=True,
    plugins=(Path("/p.so"),),
    layer_precisions=(("/head/*", Precision.FP32),),
    calibration_table=Path("/t.table"),
    timing_cache=Path("/c.timing"),
)
LEAST = BuildRequest(runtime="tensorrt-rtx", model=Path("/m"), compute_capability=(7, 5), precision=Precision.FP32)
OUTCOME = BuildOutcome(
    engine="engine.plan",
    size_bytes=10,
    runtime_version="1.7.1.116",
    build_s=0.5,
    inputs=(EngineTensor("x", "float32", ("N", 3, None)),),
    outputs=(),
    header=PlanHeader(magic="vtrt", version="1.7.1.116", size_bytes=10, capability_mask=8),
    warnings=("careful",),
)


REFIT = Refit(
    origin=digest_from_bytes(b"origin"),
    instead_of_s=80.0,
    seconds={"model": 0.5, "start": 0.5, "load": 0.1, "refit": 0.2, "write": 0.1},
    weights=2,
    changed=1,
    origin_engine=digest_from_bytes(b"engine"),
)


def through_text(value: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(value))
    return result


@pytest.mark.parametrize("request_", [REQUEST, LEAST, FULL])
def test_a_request_is_read_back_as_it_was(request_: BuildRequest) -> None:
    assert request_from_json(through_text(request_to_json(request_))) == request_


def test_an_outcome_is_read_back_as_it_was() -> None:
    assert outcome_from_json(through_text(outcome_to_json(OUTCOME))) == OUTCOME
    refitted = replace(OUTCOME, refit=REFIT, weights_record="weights.json")
    assert outcome_from_json(through_text(outcome_to_json(refitted))) == refitted


def test_an_outcome_that_was_built_without_refit_says_why() -> None:
    plain = replace(OUTCOME, not_refittable="no kernel")
    assert outcome_from_json(through_text(outcome_to_json(plain))) == plain


def test_a_refit_from_before_the_digest_of_its_origin_is_read() -> None:
    told = refit_to_json(REFIT)
    del told["origin_engine"]
    assert refit_from_json(told) == replace(REFIT, origin_engine=None)


def test_an_outcome_from_before_refits_is_read() -> None:
    older = outcome_to_json(OUTCOME)
    del older["weights_record"]
    assert outcome_from_json(older) == OUTCOME


@pytest.mark.parametrize(
    "change",
    [{"origin": "none"}, {"seconds": {"load": 1}}, {"weights": "2"}, {"instead_of_s": None}, {"more": 1}],
)
def test_a_refit_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"refit|digest"):
        outcome_from_json(outcome_to_json(OUTCOME) | {"refit": refit_to_json(REFIT) | change})


@pytest.mark.parametrize(
    "change",
    [
        {"runtime": 1},
        {"model": None},
        {"compute_capability": [8]},
        {"compute_capability": [8, True]},
        {"compute_capability": "8.9"},
        {"precision": "fp64"},
        {"profiles": {}},
        {"profiles": [[]]},
        {"profiles": [{"x": [1]}]},
        {"profiles": [{"x": {"min": [1], "opt": [1]}}]},
        {"profiles": [{"x": {"min": [1], "opt": [1], "max": [1.5]}}]},
        {"optimization_level": True},
        {"workspace_mib": "1"},
        {"sparsity": 1},
        {"profiling_verbosity": "all"},
        {"refit": 1},
        {"typing": None},
        {"tactic_sources": [1]},
        {"calibration_table": 3},
        {"something_else": True},
    ],
)
def test_other_json_is_no_request(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"missing|not"):
        request_from_json({**request_to_json(REQUEST), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "../engine.plan"},
        {"size_bytes": True},
        {"build_s": "1"},
        {"inputs": [{"name": "x", "dtype": "float32", "shape": [1.5]}]},
        {"outputs": ["x"]},
        {"header": {}},
        {"warnings": [1]},
        {"more": 1},
    ],
)
def test_other_json_is_no_outcome(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"missing|not"):
        outcome_from_json({**outcome_to_json(OUTCOME), **change})


@pytest.mark.parametrize("name", request_to_json(REQUEST))
def test_no_field_of_a_request_may_be_missing(name: str) -> None:
    data = request_to_json(REQUEST)
    del data[name]
    with pytest.raises(ValueError, match=name):
        request_from_json(data)
