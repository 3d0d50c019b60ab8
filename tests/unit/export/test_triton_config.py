from __future__ import annotations

import pytest

from pipeline.errors import SettingsError
from pipeline.export.triton_config import Batching, batching_from_tensors, config_from_sidecars
from pipeline.manifest.types import ShapeRange
from pipeline.publish.job_report import TensorReport
from tests.support.exports import H200, L4, L40S, sidecar_of

IMAGE = TensorReport("images", "float32", (None, 1, 8, 8))
LOGITS = TensorReport("logits", "float32", ("batch", 10))


def shapes(low: int, tuned: int, high: int) -> ShapeRange:
    return ShapeRange((low, 1, 8, 8), (tuned, 1, 8, 8), (high, 1, 8, 8))


def test_a_dynamic_first_axis_is_a_batch_up_to_the_largest_profile() -> None:
    profiles = ({"images": shapes(1, 8, 16)}, {"images": shapes(1, 32, 64)})
    assert batching_from_tensors((IMAGE,), (LOGITS,), profiles) == Batching(64, (8, 32))


@pytest.mark.parametrize(
    ("inputs", "outputs", "profiles"),
    [
        ((IMAGE,), (TensorReport("logits", "float32", (10,)),), ({"images": shapes(1, 8, 32)},)),
        ((IMAGE,), (LOGITS,), ()),
        ((IMAGE,), (LOGITS,), ({"images": shapes(4, 8, 32)},)),
        ((IMAGE,), (LOGITS,), ({"images": shapes(1, 1, 1)},)),
        (
            (TensorReport("images", "float32", ("rows", 8)),),
            (LOGITS,),
            ({"images": ShapeRange((1, 8), (2, 8), (4, 8))},),
        ),
    ],
    ids=["fixed output", "no profile", "no single item", "one item only", "another axis"],
)
def test_anything_else_is_no_batch(
    inputs: tuple[TensorReport, ...], outputs: tuple[TensorReport, ...], profiles: tuple[dict[str, ShapeRange], ...]
) -> None:
    assert batching_from_tensors(inputs, outputs, profiles) == Batching(0)


def test_each_kind_of_gpu_has_its_plan() -> None:
    text = config_from_sidecars("digits-fp16", {"l4.plan": sidecar_of(L4), "h200.plan": sidecar_of(H200)})
    assert 'default_model_filename: "l4.plan"' in text
    assert 'cc_model_filenames { key: "8.9" value: "l4.plan" }' in text
    assert 'cc_model_filenames { key: "9.0" value: "h200.plan" }' in text


def test_two_products_of_one_compute_capability_are_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"digits/l4/fp16 and digits/l40s/fp16 are both for compute capability 8\.9"
    ):
        config_from_sidecars("digits-fp16", {"l4.plan": sidecar_of(L4), "l40s.plan": sidecar_of(L40S)})


def test_engines_with_other_tensors_are_refused() -> None:
    other = sidecar_of(H200, outputs=(TensorReport("scores", "float32", ("batch", 10)),))
    with pytest.raises(SettingsError, match="does not take the same tensors"):
        config_from_sidecars("digits-fp16", {"l4.plan": sidecar_of(L4), "h200.plan": other})


def test_a_type_that_triton_does_not_know_is_refused() -> None:
    with pytest.raises(SettingsError, match="'logits' is of type float8e4m3fn"):
        config_from_sidecars("m", {"l4.plan": sidecar_of(outputs=(TensorReport("logits", "float8e4m3fn", (None, 1)),))})
