from __future__ import annotations

from onnx import helper

from pipeline.prepare.calibration_run import measured_tensors
from pipeline.prepare.graph import index_from_model
from tests.support.quantizable_models import model_from, residual_cnn


def test_inputs_and_activations_are_measured_and_weights_are_not() -> None:
    measured = measured_tensors(index_from_model(residual_cnn()))

    assert measured == tuple(sorted(measured))
    assert {"x", "c1", "bn1", "sum", "logits"} <= set(measured)
    assert not {"w1", "n1_scale", "b3"} & set(measured)


def test_a_tensor_that_only_passes_values_on_is_not_measured_again() -> None:
    measured = measured_tensors(index_from_model(residual_cnn()))

    assert not {"p1", "f"} & set(measured)


def test_integers_are_not_measured() -> None:
    make = helper.make_node
    model = model_from(
        [make("Shape", ["x"], ["shape"]), make("Cast", ["shape"], ["y"], to=1)],
        inputs={"x": ["N", 4]},
        outputs={"y": [2]},
        weights={},
    )

    assert measured_tensors(index_from_model(model)) == ("x", "y")
