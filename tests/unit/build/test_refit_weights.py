from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

from pipeline.build.refit_weights import weight_in_type, weights_from_model, write_weights
from tests.support.models import graph_model, linear_model, saved

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("given", "taken"),
    [("float32", "float32"), ("float64", "float32"), ("float16", "float16"), ("int64", "int32"), ("int8", "int8")],
)
def test_a_weight_takes_the_type_that_old_versions_know(given: str, taken: str) -> None:
    assert weight_in_type(np.ones(3, given)).dtype == taken


def test_a_weight_lies_in_c_order() -> None:
    assert weight_in_type(np.asfortranarray(np.ones((2, 3), np.float32))).flags.c_contiguous


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([1 << 40]), "beyond 32 bits"),
        (np.array([1e300]), "beyond FP32"),
        (np.ones(2, ml_dtypes.bfloat16), "bfloat16 is no type"),
    ],
)
def test_a_number_that_the_type_cannot_hold_is_refused(values: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        weight_in_type(values)


def test_an_infinity_that_the_model_has_is_kept() -> None:
    assert np.isinf(weight_in_type(np.array([-np.inf]))).all()


def test_a_tensor_reaches_an_engine_by_the_names_of_its_transposes() -> None:
    model = graph_model(
        [
            helper.make_node("Transpose", ["w"], ["t"]),
            helper.make_node("Identity", ["t"], ["i"]),
            helper.make_node("MatMul", ["x", "i"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, [1, 3])],
        [("y", TensorProto.FLOAT, [1, 2])],
        {"w": np.ones((2, 3), np.float32)},
    )
    weights = weights_from_model(model)
    assert weights.carriers == {"w": {"w", "t", "i"}}
    assert weights.values["i"]().shape == (3, 2)


@pytest.mark.parametrize(("perm", "order"), [([0, 2, 1], (0, 2, 1)), (None, (2, 1, 0))])
def test_a_transposed_weight_has_its_axes_in_the_order_of_the_node(
    perm: list[int] | None, order: tuple[int, ...]
) -> None:
    stored = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    axes: dict[str, Any] = {} if perm is None else {"perm": perm}
    model = graph_model(
        [helper.make_node("Transpose", ["w"], ["t"], **axes), helper.make_node("Add", ["x", "t"], ["y"])],
        [("x", TensorProto.FLOAT, [1])],
        [("y", TensorProto.FLOAT, list(stored.transpose(order).shape))],
        {"w": stored},
    )
    found = weights_from_model(model).in_memory().values["t"]()
    assert found.tolist() == stored.transpose(order).tolist()
    assert weight_in_type(found).flags.c_contiguous


def test_whole_numbers_that_are_worked_out_are_the_parsers_own() -> None:
    model = graph_model(
        [helper.make_node("Transpose", ["w"], ["t"]), helper.make_node("Add", ["x", "t"], ["y"])],
        [("x", TensorProto.INT64, [1])],
        [("y", TensorProto.INT64, [3, 2])],
        {"w": np.ones((2, 3), np.int64)},
    )
    weights = weights_from_model(model)
    assert weights.carriers["w"] == {"w", "t"}
    assert "t" not in weights.values


def test_constants_have_the_names_of_their_outputs() -> None:
    constant = helper.make_tensor("ignored", TensorProto.FLOAT, [2], [1.0, 2.0])
    model = graph_model(
        [helper.make_node("Constant", [], ["c"], value=constant), helper.make_node("Add", ["x", "c"], ["y"])],
        [("x", TensorProto.FLOAT, [2])],
        [("y", TensorProto.FLOAT, [2])],
    )
    assert weights_from_model(model).values["c"]().tolist() == [1.0, 2.0]


def test_the_record_names_structure_and_every_weight(tmp_path: Path) -> None:
    record = json.loads((tmp_path / write_weights(saved(linear_model(), tmp_path / "m.onnx"), tmp_path)).read_text())
    assert record["structure"].startswith("sha256:")
    assert list(record["tensors"]) == ["weights"]
