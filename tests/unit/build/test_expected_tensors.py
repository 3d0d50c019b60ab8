from __future__ import annotations

import pytest

from pipeline.build.expected_tensors import expected_tensors, require_tensors
from pipeline.errors import ModelError
from pipeline.prepare.calibration_table import CalibrationTable, parse_table
from tests.support.recorded_tensorrt import REAL_TABLE, layer, network, tensor

HEADER = "TRT-8600-EntropyCalibration2"
IMAGE, MIDDLE, FLAT, LOGITS = tensor("image"), tensor("middle"), tensor("flat"), tensor("logits")
KERNEL, WEIGHT = tensor("(Unnamed Layer* 21) [Constant]_output"), tensor("weight")
CLASSIFIER = network(
    [IMAGE],
    [
        layer("CONVOLUTION", [IMAGE, None, None], [MIDDLE]),
        layer("SHUFFLE", [MIDDLE], [FLAT]),
        layer("CONSTANT", [], [WEIGHT]),
        layer("MATRIX_MULTIPLY", [FLAT, WEIGHT], [LOGITS]),
    ],
)


def test_convolutions_and_products_with_constants_need_their_activations() -> None:
    assert expected_tensors(CLASSIFIER) == (("image",), ("flat", "middle"))


def test_a_view_may_be_found_under_the_name_of_what_it_views() -> None:
    table = CalibrationTable(HEADER, {"image": 1.0, "middle": 1.0})
    require_tensors(table, expected_tensors(CLASSIFIER), where="t", fix="f")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(
        ModelError, match="lacks 1 of the 2 tensors that INT8 layers read: it has no 'flat'; f"
    ) as error:
        require_tensors(CalibrationTable(HEADER, {"image": 1.0}), expected_tensors(CLASSIFIER), where="t", fix="f")
    assert error.value.where == "t"


def test_a_tensor_that_was_always_zero_is_known() -> None:
    table = CalibrationTable(HEADER, {"image": 1.0}, frozenset({"flat"}))
    require_tensors(table, expected_tensors(CLASSIFIER), where="t", fix="f")


def test_a_long_list_of_missing_tensors_is_cut() -> None:
    with pytest.raises(ModelError, match="and 15 more"):
        require_tensors(CalibrationTable(HEADER, {"x": 1.0}), [(f"t{n}",) for n in range(25)], where="t", fix="f")


def test_products_of_two_activations_need_no_entry() -> None:
    graph = network([IMAGE, FLAT], [layer("MATRIX_MULTIPLY", [IMAGE, FLAT], [LOGITS])])
    assert expected_tensors(graph) == ()


def test_names_that_the_parser_made_up_are_not_asked_for() -> None:
    made_up = tensor("(Unnamed Layer* 3) [Shuffle]_output")
    graph = network(
        [IMAGE], [layer("ELEMENTWISE", [IMAGE, KERNEL], [made_up]), layer("CONVOLUTION", [made_up], [LOGITS])]
    )
    assert expected_tensors(graph) == ()


def test_what_constants_alone_decide_is_not_asked_for() -> None:
    folded = tensor("folded")
    graph = network([IMAGE], [layer("SHUFFLE", [KERNEL], [folded]), layer("CONVOLUTION", [folded], [LOGITS])])
    assert expected_tensors(graph) == ()


def test_what_layers_read_that_keep_a_wider_precision_is_not_asked_for() -> None:
    kept = layer("CONVOLUTION", [IMAGE], [MIDDLE], kept_wider=True)
    assert expected_tensors(network([IMAGE], [kept, layer("CONVOLUTION", [MIDDLE], [LOGITS])])) == (("middle",),)
    assert expected_tensors(network([IMAGE], [kept, layer("CONVOLUTION", [IMAGE], [LOGITS])])) == (("image",),)


def test_integers_are_not_asked_for() -> None:
    ids = tensor("ids", "INT32")
    assert expected_tensors(network([ids], [layer("MATRIX_MULTIPLY", [ids, WEIGHT], [LOGITS])])) == ()


def test_the_real_table_of_the_digits_example_has_the_input_of_its_matrix_product() -> None:
    table = parse_table(REAL_TABLE.read_text())
    require_tensors(table, [("image",), ("/Flatten_output_0", "/average/GlobalAveragePool_output_0")], where="", fix="")
    assert len(table.scales) == 22
