"""An engine on a stand-in for its GPU, beside the original in a real ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from pipeline.engine.check import verify_engine
from pipeline.verify.comparison import ENGINE, Comparison, Overflow, comparison_from_json
from tests.support.models import float32, graph_model, int64, saved
from tests.support.running_tensorrt import plan_to_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Comparison]:
    """Compares an engine that doubles ``x`` with a model that multiplies it by ``factor``."""

    def compared(x: Any, factor: float = 2.0, precision: str = "fp16", **parts: Any) -> Comparison:
        plan, _ = plan_to_run(monkeypatch, tmp_path, **parts)
        nodes = [
            helper.make_node("Mul", ["x", "factor"], ["y"], "times"),
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "first"], ["batch"]),
            helper.make_node("Cast", ["batch"], ["size"], to=TensorProto.INT32),
        ]
        ends: Any = (
            [("x", TensorProto.FLOAT, ["batch", 2])],
            [("y", TensorProto.FLOAT, ["batch", 2]), ("size", TensorProto.INT32, [1])],
        )
        model = graph_model(nodes, ends[0], ends[1], {"factor": float32([factor]), "first": int64([0])})
        np.save(tmp_path / "x.npy", float32(x))
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        request: dict[str, Any] = {
            "engine": str(plan),
            "plugins": [],
            "reference": str(saved(model, tmp_path / "model.onnx")),
            "precision": precision,
            "data": str(tmp_path / "x.npy"),
            "labels": None,
            "samples": None,
            "batch_size": 4,
        }
        return comparison_from_json(verify_engine(request, scratch))

    return compared


def test_an_engine_that_computes_the_same_is_equal_in_every_sample(compare: Callable[..., Comparison]) -> None:
    found = compare(np.arange(1, 15).reshape(7, 2))
    assert (found.subject, found.samples, found.emulated, found.overflows) == (ENGINE, 7, False, ())
    y, size = found.outputs
    assert (y.name, y.cosine_min, y.max_absolute_error) == ("y", 1, 0)
    assert (size.name, size.exact_match) == ("size", 1)


def test_samples_that_are_fed_one_by_one_are_not_filled_up_to_a_batch(compare: Callable[..., Comparison]) -> None:
    found = compare(np.arange(1, 7).reshape(3, 1, 2), profiles=((1, 8),))
    assert (found.samples, found.outputs[0].cosine_min, found.outputs[1].exact_match) == (3, 1, 1)


@pytest.mark.parametrize(
    ("precision", "found"), [("fp16", (Overflow(node="times", operator="Mul", largest=4e5),)), ("fp32", ())]
)
def test_what_fp16_cannot_hold_is_named_of_an_engine_that_is_far_from_the_original(
    compare: Callable[..., Comparison], precision: str, found: tuple[Overflow, ...]
) -> None:
    assert compare([[1, 2], [3, 4]], factor=-1e5, precision=precision).overflows == found
