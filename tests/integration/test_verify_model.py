"""Real ONNX Runtime on tiny models, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.errors import ModelError
from pipeline.verify.compare import verify_model
from pipeline.verify.comparison import Comparison, comparison_from_json
from tests.support.models import convolution_model, float32, graph_model, int64, linear_model, saved

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto

_HALVES: dict[int, int] = {TensorProto.FLOAT16: 11, TensorProto.BFLOAT16: 8}
"""Bits of the significand, the hidden one included."""


class Bench:
    """A folder with two models and data, and what comparing them says."""

    def __init__(self, folder: Path, reference: ModelProto, candidate: ModelProto | None = None, **data: Any) -> None:
        self._folder = folder
        self.request: dict[str, Any] = {
            "reference": str(saved(reference, folder / "reference.onnx")),
            "candidate": str(saved(candidate or reference, folder / "candidate.onnx")),
            "precision": "fp16",
            "data": str(folder / "data.npz"),
            "labels": None,
            "samples": None,
            "batch_size": 3,
        }
        np.savez(folder / "data.npz", **data)

    def label(self, labels: Any) -> None:
        self.request["labels"] = str(self._folder / "labels.npy")
        np.save(self._folder / "labels.npy", np.asarray(labels))

    def compare(self) -> Comparison:
        scratch = self._folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return comparison_from_json(verify_model(self.request, scratch))


def _features(rows: int = 7) -> Any:
    return np.random.default_rng(3).normal(size=(rows, 4)).astype(np.float32)


def _images(rows: int = 7) -> Any:
    return np.random.default_rng(3).normal(size=(rows, 1, 8, 8)).astype(np.float32)


def _half_linear(kind: int, weights: Any) -> ModelProto:
    nodes = [
        helper.make_node("Cast", ["features"], ["narrow"], to=kind),
        helper.make_node("MatMul", ["narrow", "weights"], ["product"]),
        helper.make_node("Cast", ["product"], ["scores"], to=TensorProto.FLOAT),
    ]
    model = graph_model(
        nodes,
        [("features", TensorProto.FLOAT, ["batch", weights.shape[0]])],
        [("scores", TensorProto.FLOAT, ["batch", weights.shape[1]])],
    )
    model.graph.initializer.append(helper.make_tensor("weights", kind, weights.shape, weights.ravel()))
    return model


def test_a_model_agrees_with_itself_in_every_bit(tmp_path: Path) -> None:
    comparison = Bench(tmp_path, convolution_model(), image=_images()).compare()
    (output,) = comparison.outputs
    assert (comparison.samples, comparison.emulated, comparison.subject) == (7, False, "prepared model")
    assert (output.max_absolute_error, output.max_relative_error) == (0.0, 0.0)
    assert output.cosine_min == pytest.approx(1.0)


def test_errors_are_those_computed_by_hand(tmp_path: Path) -> None:
    left, right = float32([[1, 0], [0, 1]]), float32([[1, 0], [0, 0.5]])
    bench = Bench(tmp_path, linear_model(left), linear_model(right), features=float32([[3, 4], [2, 0]]))
    (output,) = bench.compare().outputs
    assert output.cosine_min == pytest.approx(17 / (5 * np.sqrt(13)))
    assert (output.max_absolute_error, output.max_relative_error) == (2.0, 0.5)


def test_top1_with_labels(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        linear_model(np.eye(3, dtype=np.float32)),
        linear_model(float32([[0, 1, 0], [0, 1, 0], [0, 0, 1]])),
        features=float32([[9, 0, 0], [0, 9, 0], [0, 0, 9], [0, 0, 9]]),
    )
    bench.label([0, 1, 2, 0])
    comparison = bench.compare()
    figures = (comparison.top1_reference, comparison.top1_candidate, comparison.top1_agreement)
    assert figures == (75.0, 50.0, 75.0)


def test_labels_count_for_the_whole_data_when_only_some_samples_are_used(tmp_path: Path) -> None:
    bench = Bench(tmp_path, linear_model(np.eye(3, dtype=np.float32)), features=np.eye(3, dtype=np.float32))
    bench.label([0, 0, 2])
    bench.request["samples"] = 2
    comparison = bench.compare()
    assert (comparison.samples, comparison.top1_reference) == (2, 50.0)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.arange(6), "there are 6 labels for 7 samples"),
        (np.zeros(7), "the labels are float64"),
        (np.zeros((7, 1), np.int64), "of shape \\(7, 1\\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: Any, text: str) -> None:
    bench = Bench(tmp_path, linear_model(), features=_features())
    bench.label(labels)
    with pytest.raises(ModelError, match=text):
        bench.compare()


def test_labels_for_a_model_without_classes_are_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, linear_model(np.ones((4, 1), np.float32)), features=_features())
    bench.label(np.zeros(7, np.int64))
    with pytest.raises(ModelError, match="no output holds classes"):
        bench.compare()


@pytest.mark.parametrize("kind", sorted(_HALVES))
def test_half_precision_is_imitated_and_its_rounding_measured(tmp_path: Path, kind: int) -> None:
    weights = float32([[1, 1 / 3], [1 / 7, 1]])
    features = float32([[1 / 3, 1], [1.5, -2 / 3]])
    bench = Bench(tmp_path, linear_model(weights), _half_linear(kind, weights), features=features)
    comparison = bench.compare()

    def rounded(values: Any) -> Any:
        return numpy_helper.to_array(helper.make_tensor("t", kind, values.shape, values.ravel())).astype(np.float32)

    expected = rounded(rounded(features) @ rounded(weights))
    error = np.abs(expected.astype(np.float64) - features @ weights).max()
    assert comparison.emulated
    assert comparison.outputs[0].max_absolute_error == pytest.approx(error, rel=1e-6)
    assert 2.0 ** -(_HALVES[kind] + 4) < error < 2.0 ** -(_HALVES[kind] - 2)


def test_an_fp16_overflow_between_nodes_is_seen(tmp_path: Path) -> None:
    ends: Any = [("x", TensorProto.FLOAT, ["batch", 2])], [("y", TensorProto.FLOAT, ["batch", 2])]
    two, quarter = float32([2]), float32([0.25])
    wide = [helper.make_node("Mul", ["x", "two"], ["a"]), helper.make_node("Mul", ["a", "quarter"], ["y"])]
    narrow = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["h", "two"], ["a"]),
        helper.make_node("Mul", ["a", "quarter"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    bench = Bench(
        tmp_path,
        graph_model(wide, ends[0], ends[1], {"two": two, "quarter": quarter}),
        graph_model(narrow, ends[0], ends[1], {"two": two.astype(np.float16), "quarter": quarter.astype(np.float16)}),
        x=float32([[60000, 1], [1, 2]]),
    )
    comparison = bench.compare()
    (output,) = comparison.outputs
    assert (output.non_finite, output.cosine_min) == (1, None)
    assert [(each.operator, each.largest) for each in comparison.overflows] == [("Mul", 120000)]


def test_samples_that_are_fed_one_by_one_are_compared_one_by_one(tmp_path: Path) -> None:
    """The state of a recurrent model has its samples on axis 1."""
    ends: Any = (
        [("x", TensorProto.FLOAT, ["batch", 3]), ("state", TensorProto.FLOAT, [2, "batch", 3])],
        [("y", TensorProto.FLOAT, [2, "batch", 3])],
    )
    models = (
        graph_model([helper.make_node("Add", ["x", "state"], ["s"]), helper.make_node(last, ["s"], ["y"])], *ends)
        for last in ("Identity", "Neg")
    )
    x, state = np.ones((4, 1, 3), np.float32), np.ones((4, 2, 1, 3), np.float32)
    comparison = Bench(tmp_path, *models, x=x, state=state).compare()
    (output,) = comparison.outputs
    assert comparison.samples == 4
    assert (output.cosine_min, output.cosine_mean, output.max_absolute_error) == (-1, -1, 4)


def _far_from_each_other(folder: Path, largest: float) -> Bench:
    """Two models that differ, of which the original reaches ``largest``."""
    ends: Any = [("x", TensorProto.FLOAT, ["batch", 2])], [("y", TensorProto.FLOAT, ["batch", 2])]
    nodes = [helper.make_node("Mul", ["x", "w"], ["a"]), helper.make_node("Tanh", ["a"], ["y"])]
    models = (graph_model(nodes, ends[0], ends[1], {"w": float32([size])}) for size in (largest, -largest))
    return Bench(folder, *models, x=float32([[1, 0.5], [0.5, 1]]))


@pytest.mark.parametrize(
    ("precision", "largest", "found"),
    [("fp16", 7e4, 1), ("int8-fp16", 7e4, 1), ("bf16", 7e4, 0), ("int8", 7e4, 0), ("fp16", 6e4, 0), ("fp16", 3e38, 0)],
)
def test_what_fp16_cannot_hold_is_looked_for_where_fp16_is_far_from_the_original(
    tmp_path: Path, precision: str, largest: float, found: int
) -> None:
    """Numbers as large as 3e38 are masks."""
    bench = _far_from_each_other(tmp_path, largest)
    bench.request["precision"] = precision
    assert len(bench.compare().overflows) == found


def test_what_fp16_cannot_hold_is_of_no_account_where_the_outputs_agree(tmp_path: Path) -> None:
    bench = _far_from_each_other(tmp_path, 7e4)
    bench.request["candidate"] = bench.request["reference"]
    assert bench.compare().overflows == ()


def test_quantization_noise_is_measured_as_q_and_dq_define_it(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    ends: Any = [("x", TensorProto.FLOAT, ["batch", 2])], [("y", TensorProto.FLOAT, ["batch", 2])]
    quantized = graph_model(nodes, ends[0], ends[1], {"scale": float32(0.5), "zero": np.int8(0)})
    plain = graph_model([helper.make_node("Identity", ["x"], ["y"])], *ends)
    (output,) = Bench(tmp_path, plain, quantized, x=float32([[0.2, 70], [1, 1]])).compare().outputs
    assert output.max_absolute_error == 70 - 63.5


def test_class_numbers_are_compared_for_equality(tmp_path: Path) -> None:
    def classifier(weights: Any) -> ModelProto:
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["s"]),
            helper.make_node("ArgMax", ["s"], ["class"], axis=1, keepdims=0),
        ]
        return graph_model(nodes, [("x", 1, ["n", 2])], [("class", TensorProto.INT64, ["n"])], {"w": weights})

    left, right = float32([[1, 0], [0, 1]]), float32([[1, 0], [1, 0]])
    data = float32([[1, 0], [0, 1], [1, 0], [1, 0]])
    comparison = Bench(tmp_path, classifier(left), classifier(right), x=data).compare()
    assert comparison.outputs[0].exact_match == 0.75


@pytest.mark.parametrize("kind", sorted(_HALVES))
def test_a_model_with_half_precision_inputs_and_outputs_is_imitated(tmp_path: Path, kind: int) -> None:
    branch = helper.make_graph(
        [helper.make_node("Mul", ["h", "w"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", kind, [None, 2])],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=kind),
        helper.make_node("If", ["flag"], ["i"], then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["i", "h"], ["half"]),
        helper.make_node("Cast", ["half"], ["y"], to=TensorProto.FLOAT),
    ]
    ends: Any = [("x", TensorProto.FLOAT, ["n", 2])], [("half", kind, ["n", 2]), ("y", TensorProto.FLOAT, ["n", 2])]
    model = graph_model(nodes, *ends)
    model.graph.initializer.append(helper.make_tensor("w", kind, [2], [1.0, 2.0]))
    model.graph.initializer.append(helper.make_tensor("flag", TensorProto.BOOL, [], [True]))
    if kind == TensorProto.BFLOAT16:
        with pytest.raises(ModelError, match="ONNX Runtime cannot load the original model"):
            Bench(tmp_path, model, x=float32([[1, 2]])).compare()
    else:
        (_, output) = Bench(tmp_path, model, x=float32([[1, 2]])).compare().outputs
        assert output.max_absolute_error == 0.0


def test_a_model_that_onnx_runtime_cannot_load_is_refused_with_the_reason(tmp_path: Path) -> None:
    node = helper.make_node("Fancy", ["features"], ["scores"], domain="acme")
    ends: Any = [("features", 1, ["n", 4])], [("scores", 1, ["n", 3])]
    bench = Bench(tmp_path, linear_model(), graph_model([node], *ends, domains=[("acme", 1)]), features=_features())
    with pytest.raises(ModelError, match=r"cannot load the prepared model.*acme"):
        bench.compare()


def test_other_outputs_are_refused(tmp_path: Path) -> None:
    other = linear_model()
    other.graph.output[0].name = other.graph.node[0].output[0] = "logits"
    bench = Bench(tmp_path, linear_model(), other, features=_features())
    with pytest.raises(ModelError, match=r"\['logits'\] for \['scores'\]"):
        bench.compare()


def test_an_original_that_gives_nan_is_refused(tmp_path: Path) -> None:
    model = graph_model([helper.make_node("Log", ["x"], ["y"])], [("x", 1, ["n", 1])], [("y", 1, ["n", 1])])
    with pytest.raises(ModelError, match="the original model itself gives NaN in output 'y'"):
        Bench(tmp_path, model, x=float32([[-1]])).compare()


def test_data_that_the_model_fails_on_is_refused(tmp_path: Path) -> None:
    model = graph_model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [("x", 1, ["n", "m"])],
        [("y", 1, None)],
        {"shape": int64([5, 5])},
    )
    with pytest.raises(ModelError, match="the original model fails on the evaluation data"):
        Bench(tmp_path, model, x=_features()).compare()


def test_data_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has shape"):
        Bench(tmp_path, linear_model(), features=_images().reshape(7, 64)).compare()
