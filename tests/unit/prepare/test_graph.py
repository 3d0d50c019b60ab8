from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from pipeline.prepare.graph import NewNames, index_from_model, sort_nodes, tensors_read
from tests.support.half_precision_models import branches_reading_outer_tensors
from tests.support.quantizable_models import residual_cnn


def test_the_index_knows_makers_readers_and_types() -> None:
    index = index_from_model(residual_cnn())

    assert index.producers["sum"].name == "residual"
    assert [node.name for node in index.consumers["p1"]] == ["conv2", "residual"]
    assert index.element_types["r3"] == TensorProto.FLOAT
    assert (set(index.inputs), set(index.outputs)) == ({"x"}, {"logits"})


def test_what_nodes_compute_from_constants_alone_is_constant() -> None:
    make = helper.make_node
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [2.0])
    nodes = [
        make("Constant", [], ["k"], "k", value=value),
        make("Neg", ["k"], ["n"], "n"),
        make("Add", ["x", "n"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]))

    assert index_from_model(model).constants == {"k", "n"}


def test_a_node_reads_what_its_subgraphs_take_from_outside() -> None:
    choice = next(node for node in branches_reading_outer_tensors().graph.node if node.name == "choice")

    assert tensors_read(choice) == ("condition", "a", "w")


def test_sorting_puts_makers_before_readers_and_changes_nothing_else() -> None:
    model = branches_reading_outer_tensors()
    expected = [node.name for node in model.graph.node]
    shuffled = [model.graph.node[position] for position in (3, 2, 0, 1)]
    del model.graph.node[:]
    model.graph.node.extend(shuffled)

    sort_nodes(model.graph)

    onnx.checker.check_model(model)
    assert sorted(node.name for node in model.graph.node) == sorted(expected)
    assert model.graph.node[-1].name == "choice"


def test_new_names_are_taken_by_nothing_else() -> None:
    names = NewNames(residual_cnn())

    assert [names.new(wanted) for wanted in ("fresh", "fresh", "conv1", "c1", "w1")] == [
        "fresh", "fresh_2", "conv1_2", "c1_2", "w1_2",
    ]  # fmt: skip
