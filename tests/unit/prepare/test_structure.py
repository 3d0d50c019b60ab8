from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pipeline.prepare.onnx_model import read_model
from pipeline.prepare.structure import SMALL_ELEMENTS, model_digests, structure_digest, weight_digests
from tests.support.models import convolution_model, graph_model, linear_model, saved_externally
from tests.support.other_exports import with_other_names_and_order, with_other_weight_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto

HERE = Path()
DIGITS = Path(__file__).parents[3] / "examples/digits/model.onnx"
DIGITS_AGAIN = Path(__file__).parents[2] / "fixtures/digits-seed-1.onnx"


def renamed(model: ModelProto, new: Callable[[str], str], *, stored: bool = False) -> ModelProto:
    """``model`` with other names for the tensors between nodes, or for the ``stored`` ones."""
    kept = {value.name for value in (*model.graph.input, *model.graph.output)} | {""}
    initializers = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name not in kept and (name in initializers) == stored:
                    names[place] = new(name)
    for tensor in model.graph.initializer:
        if stored:
            tensor.name = new(tensor.name)
    return model


def test_another_training_changes_the_weights_alone() -> None:
    before, after = (model_digests(read_model(path), HERE) for path in (DIGITS, DIGITS_AGAIN))
    assert before.structure == after.structure
    assert before.named == after.named
    assert before.weights != after.weights


def test_names_of_tensors_between_nodes_do_not_count() -> None:
    model = renamed(convolution_model(), lambda name: f"{name}_renamed")
    assert structure_digest(model, HERE) == structure_digest(convolution_model(), HERE)


def test_names_of_stored_tensors_count_because_weights_are_known_by_them() -> None:
    model = renamed(convolution_model(), lambda name: f"{name}_renamed", stored=True)
    assert structure_digest(model, HERE) != structure_digest(convolution_model(), HERE)


def test_the_example_as_another_exporter_writes_it_has_the_same_structure_but_not_with_other_weight_names() -> None:
    before = structure_digest(read_model(DIGITS), HERE)
    other = with_other_names_and_order(read_model(DIGITS))
    onnx.checker.check_model(other, full_check=True)
    assert [node.name for node in other.graph.node] != [node.name for node in read_model(DIGITS).graph.node]
    assert structure_digest(other, HERE) == before
    renamed_weights = with_other_weight_names(read_model(DIGITS))
    onnx.checker.check_model(renamed_weights, full_check=True)
    assert structure_digest(renamed_weights, HERE) != before


def test_two_weights_that_changed_places_are_another_structure() -> None:
    model = convolution_model()
    before = structure_digest(model, HERE)
    first, second = model.graph.node[0], model.graph.node[2]
    first.input[2], second.input[2] = second.input[2], first.input[2]
    assert structure_digest(model, HERE) != before


def test_names_of_nodes_count_only_where_settings_choose_nodes_by_them() -> None:
    model = convolution_model()
    model.graph.node[0].name = "other"
    assert structure_digest(model, HERE) == structure_digest(convolution_model(), HERE)
    assert structure_digest(model, HERE, named=True) != structure_digest(convolution_model(), HERE, named=True)


def branches(order: tuple[int, ...]) -> ModelProto:
    """Three branches of one input that meet in a sum, their nodes in ``order``."""
    nodes = [
        helper.make_node(kind, ["x"], [f"b{number}"], name=f"n{number}")
        for number, kind in enumerate(("Relu", "Tanh", "Sigmoid"))
    ]
    total = helper.make_node("Sum", ["b0", "b1", "b2"], ["y"], name="total")
    return graph_model(
        [*(nodes[place] for place in order), total],
        [("x", TensorProto.FLOAT, [1, 4])],
        [("y", TensorProto.FLOAT, [1, 4])],
    )


@given(st.permutations([0, 1, 2]))
def test_the_order_of_nodes_does_not_count(order: list[int]) -> None:
    assert structure_digest(branches(tuple(order)), HERE) == structure_digest(branches((0, 1, 2)), HERE)


def test_text_that_no_builder_reads_does_not_count() -> None:
    model = convolution_model()
    model.doc_string = model.graph.doc_string = model.producer_name = "text"
    model.graph.node[0].doc_string = "text"
    model.metadata_props.add(key="trained", value="today")
    inferred = onnx.shape_inference.infer_shapes(model)
    assert inferred.graph.value_info
    assert structure_digest(inferred, HERE) == structure_digest(convolution_model(), HERE)


@given(st.integers(0, 2**32 - 1))
def test_no_values_of_weights_change_the_structure(seed: int) -> None:
    model = convolution_model(seed)
    assert structure_digest(model, HERE) == structure_digest(convolution_model(), HERE)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.graph.node[0].attribute[0].ints.__setitem__(0, 0),
        lambda model: setattr(model.graph.node[1], "op_type", "Tanh"),
        lambda model: model.graph.node[3].input.__setitem__(1, "c0"),
        lambda model: setattr(model.opset_import[0], "version", 18),
        lambda model: setattr(model.graph.input[0], "name", "picture"),
        lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 16),
        lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", TensorProto.FLOAT16),
        lambda model: setattr(model.graph.output[0], "name", "result"),
        lambda model: model.graph.output.add(name="r1"),
        lambda model: model.graph.initializer.add(name="more", data_type=TensorProto.FLOAT, dims=[0]),
        lambda model: model.graph.node.add(op_type="Relu", input=["r1"], output=["unused"]),
    ],
    ids=["attribute", "operator", "edge", "opset", "input name", "shape", "type", "output name", "output", "weight",
         "node"],
)  # fmt: skip
def test_what_decides_the_engine_counts(change: Callable[[ModelProto], object]) -> None:
    model = convolution_model()
    change(model)
    assert structure_digest(model, HERE) != structure_digest(convolution_model(), HERE)


def test_another_shape_of_a_weight_is_another_structure() -> None:
    wide = linear_model(np.ones((4, 5), np.float32))
    assert structure_digest(wide, HERE) != structure_digest(linear_model(), HERE)


def reshaped(sizes: list[int]) -> ModelProto:
    return graph_model(
        [helper.make_node("Reshape", ["x", "sizes"], ["y"])],
        [("x", TensorProto.FLOAT, [4, 4])],
        [("y", TensorProto.FLOAT, None)],
        {"sizes": np.array(sizes, np.int64)},
    )


def test_the_values_of_shapes_are_structure() -> None:
    assert structure_digest(reshaped([2, 8]), HERE) != structure_digest(reshaped([8, 2]), HERE)
    assert weight_digests(reshaped([2, 8]), HERE) == {}


def resized(factor: float) -> ModelProto:
    return graph_model(
        [helper.make_node("Resize", ["x", "", "scales"], ["y"])],
        [("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [("y", TensorProto.FLOAT, None)],
        {"scales": np.array([1, 1, factor, factor], np.float32)},
    )


def test_fractions_that_decide_shapes_are_structure() -> None:
    assert structure_digest(resized(2), HERE) != structure_digest(resized(3), HERE)
    assert weight_digests(resized(2), HERE) == {}


def looked_up(rows: int, value: int) -> ModelProto:
    return graph_model(
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        [("i", TensorProto.INT64, [1])],
        [("y", TensorProto.INT8, None)],
        {"table": np.full(rows, value, np.int8)},
    )


def test_small_whole_numbers_are_structure_and_large_tables_are_weights() -> None:
    small, large = SMALL_ELEMENTS, SMALL_ELEMENTS + 1
    assert structure_digest(looked_up(small, 1), HERE) != structure_digest(looked_up(small, 2), HERE)
    assert structure_digest(looked_up(large, 1), HERE) == structure_digest(looked_up(large, 2), HERE)
    assert weight_digests(looked_up(large, 1), HERE) != weight_digests(looked_up(large, 2), HERE)


def constant(name: str, value: float) -> ModelProto:
    return graph_model(
        [helper.make_node("Constant", [], [name], value_float=value), helper.make_node("Mul", ["x", name], ["y"])],
        [("x", TensorProto.FLOAT, [1])],
        [("y", TensorProto.FLOAT, [1])],
    )


def test_a_constant_node_is_a_stored_tensor_by_the_name_of_its_output() -> None:
    assert structure_digest(constant("c", 1), HERE) == structure_digest(constant("c", 2), HERE)
    assert weight_digests(constant("c", 1), HERE) != weight_digests(constant("c", 2), HERE)
    assert structure_digest(constant("c", 1), HERE) != structure_digest(constant("d", 1), HERE)


def conditional(bias: float, *, kind: str = "Add") -> ModelProto:
    def branch(operator: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])
        bias_tensor = numpy_helper.from_array(np.array([bias], np.float32), "bias")
        return helper.make_graph([helper.make_node(operator, ["x", "bias"], ["b"])], "g", [], [output], [bias_tensor])

    return graph_model(
        [helper.make_node("If", ["c"], ["y"], then_branch=branch(kind), else_branch=branch("Sub"))],
        [("c", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, [1])],
        [("y", TensorProto.FLOAT, [1])],
    )


def test_branches_are_part_of_the_structure_and_their_weights_are_not() -> None:
    assert structure_digest(conditional(1), HERE) == structure_digest(conditional(2), HERE)
    assert structure_digest(conditional(1), HERE) != structure_digest(conditional(1, kind="Mul"), HERE)
    assert weight_digests(conditional(1), HERE) != weight_digests(conditional(2), HERE)


def test_values_are_the_same_however_they_are_stored(tmp_path: Path) -> None:
    model = convolution_model()
    path = saved_externally(convolution_model(), tmp_path / "m.onnx")
    assert weight_digests(read_model(path), tmp_path) == weight_digests(model, HERE)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        tensor.float_data.extend(values.ravel().tolist())
    assert weight_digests(model, HERE) == weight_digests(convolution_model(), HERE)


def test_weights_in_the_file_or_beside_it_are_the_same_structure(tmp_path: Path) -> None:
    path = saved_externally(convolution_model(), tmp_path / "m.onnx")
    assert model_digests(read_model(path), tmp_path) == model_digests(convolution_model(), HERE)


def looping(kind: str, bias: float, *, operator: str = "Add") -> ModelProto:
    """A ``Loop`` or ``Scan`` whose body adds a stored bias."""
    state = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("s", "t")]
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go", "on")]
    count = helper.make_tensor_value_info("n", TensorProto.INT64, [])
    nodes = [helper.make_node(operator, ["s", "bias"], ["t"])]
    if kind == "Loop":
        nodes.append(helper.make_node("Identity", ["go"], ["on"]))
    inputs = [count, flags[0], state[0]] if kind == "Loop" else [state[0]]
    outputs = [flags[1], state[1]] if kind == "Loop" else [state[1]]
    stored = [numpy_helper.from_array(np.array([bias], np.float32), "bias")]
    body = helper.make_graph(nodes, "body", inputs, outputs, stored)
    more: dict[str, Any] = {} if kind == "Loop" else {"num_scan_inputs": 0}
    taken = ["times", "", "x"] if kind == "Loop" else ["x"]
    return graph_model(
        [helper.make_node(kind, taken, ["y"], body=body, **more)],
        [("x", TensorProto.FLOAT, [1]), ("times", TensorProto.INT64, [])],
        [("y", TensorProto.FLOAT, [1])],
    )


@pytest.mark.parametrize("kind", ["Loop", "Scan"])
def test_bodies_of_loops_are_part_of_the_structure_and_their_weights_are_not(kind: str) -> None:
    assert structure_digest(looping(kind, 1), HERE) == structure_digest(looping(kind, 2), HERE)
    assert weight_digests(looping(kind, 1), HERE) != weight_digests(looping(kind, 2), HERE)
    assert structure_digest(looping(kind, 1), HERE) != structure_digest(looping(kind, 1, operator="Sub"), HERE)


def test_values_that_moved_between_two_branches_are_told_apart() -> None:
    def model(first: float, second: float) -> ModelProto:
        found = conditional(first)
        found.graph.node[0].attribute[1].g.initializer[0].CopyFrom(
            numpy_helper.from_array(np.array([second], np.float32), "bias")
        )
        return found

    assert structure_digest(model(1, 2), HERE) == structure_digest(model(2, 1), HERE)
    assert weight_digests(model(1, 2), HERE) != weight_digests(model(2, 1), HERE)


def sparse(value: float) -> ModelProto:
    model = graph_model(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, [3])],
        [("y", TensorProto.FLOAT, [3])],
    )
    values = numpy_helper.from_array(np.array([value], np.float32), "w")
    indices = numpy_helper.from_array(np.array([1], np.int64), "w_indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    return model


def test_the_values_of_sparse_tensors_are_structure_because_no_refit_takes_them() -> None:
    assert structure_digest(sparse(1), HERE) != structure_digest(sparse(2), HERE)
    assert weight_digests(sparse(1), HERE) == {}


def calling(value: float, overload: str = "") -> ModelProto:
    """A call of a function that holds a number, in one of its two forms."""
    nodes = [helper.make_node("Constant", [], ["c"], value_float=value), helper.make_node("Mul", ["a", "c"], ["b"])]
    model = graph_model(
        [helper.make_node("Scale", ["x"], ["y"], domain="own", overload=overload)],
        [("x", TensorProto.FLOAT, [1])],
        [("y", TensorProto.FLOAT, [1])],
        domains=[("own", 1)],
    )
    opsets = [helper.make_opsetid("", 17)]
    for form, operators in (("", nodes), ("other", [*nodes[:1], helper.make_node("Add", ["a", "c"], ["b"])])):
        model.functions.append(helper.make_function("own", "Scale", ["a"], ["b"], operators, opsets, overload=form))
    return model


def test_what_functions_hold_is_structure_and_so_is_which_form_of_one_is_called() -> None:
    assert structure_digest(calling(1), HERE) != structure_digest(calling(2), HERE)
    assert structure_digest(calling(1), HERE) != structure_digest(calling(1, "other"), HERE)


def multiplied(*, stored_as: str = "initializer", transposed: bool = False, shared: bool = True) -> ModelProto:
    """``x`` times a weight, twice; the second time by the same tensor where it is ``shared``, else by its equal."""
    weight = np.eye(2, dtype=np.float32)
    names = ["w", "w" if shared else "v"]
    held = {} if stored_as == "node" else dict.fromkeys(names, weight)
    nodes = [] if held else [helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight))]
    if transposed:
        nodes.append(helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]))
        names[0] = "t"
    nodes += [helper.make_node("MatMul", ["x", names[0]], ["h"]), helper.make_node("MatMul", ["h", names[1]], ["y"])]
    return graph_model(nodes, [("x", TensorProto.FLOAT, [1, 2])], [("y", TensorProto.FLOAT, [1, 2])], held)


@pytest.mark.parametrize(
    "other", [{"stored_as": "node"}, {"transposed": True}, {"shared": False}], ids=["constant node", "folded", "tied"]
)
def test_a_weight_that_is_stored_or_read_in_another_way_is_another_structure(other: dict[str, Any]) -> None:
    assert structure_digest(multiplied(**other), HERE) != structure_digest(multiplied(), HERE)


def test_weights_of_equal_values_are_told_apart_by_their_names() -> None:
    def model(first: float, second: float) -> ModelProto:
        found = multiplied(shared=False)
        for tensor, value in zip(found.graph.initializer, (first, second), strict=True):
            tensor.CopyFrom(numpy_helper.from_array(np.full((2, 2), value, np.float32), tensor.name))
        return found

    digests = [model_digests(model(*values), HERE) for values in ((1, 1), (1, 2), (2, 1))]
    assert len({each.structure for each in digests}) == 1
    assert len({each.weights for each in digests}) == 3


def test_the_order_in_which_weights_are_stored_does_not_count() -> None:
    model = convolution_model()
    stored = list(model.graph.initializer)
    del model.graph.initializer[:]
    model.graph.initializer.extend(reversed(stored))
    assert model_digests(model, HERE) == model_digests(convolution_model(), HERE)
