from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.digest import digest_from_bytes
from pipeline.manifest.types import Budgets, BuildSettings, Location, ModelSpec, Profile, ShapeRange
from pipeline.prepare.facts import ModelFacts, TensorFacts
from pipeline.prepare.shapes import complete_profiles, profile_faults

_MODEL_AT = Location("manifest.yaml", 3, 5)
_PROFILE_AT = Location("manifest.yaml", 9, 7)
_IMAGE = TensorFacts("image", "float32", ("batch", 1, 8, 8))
_SCALE = TensorFacts("scale", "float32", (2,))


def _spec(*profiles: dict[str, ShapeRange]) -> ModelSpec:
    return ModelSpec(
        name="digits",
        onnx=Path("/repository/digits.onnx"),
        sha256=None,
        profiles=tuple(Profile(tuple(profile.items()), _PROFILE_AT) for profile in profiles),
        targets=(),
        precisions=(),
        calibration=None,
        build=BuildSettings(),
        accuracy=None,
        budgets=Budgets(),
        location=_MODEL_AT,
    )


_ANY = digest_from_bytes(b"any")


def _facts(*inputs: TensorFacts) -> ModelFacts:
    return ModelFacts(
        opset=17,
        opsets=(),
        ir_version=8,
        inputs=inputs,
        outputs=(),
        node_names=(),
        operators=(),
        external_files=(),
        weights_bytes=0,
        structure=_ANY,
        named_structure=_ANY,
        weights=_ANY,
    )


def _batches(low: int, best: int, high: int) -> ShapeRange:
    return ShapeRange((low, 1, 8, 8), (best, 1, 8, 8), (high, 1, 8, 8))


def _only_fault(spec: ModelSpec, facts: ModelFacts) -> str:
    (fault,) = profile_faults(spec, facts)
    return str(fault)


def test_a_profile_for_each_dynamic_input_is_enough() -> None:
    assert profile_faults(_spec({"image": _batches(1, 8, 16)}), _facts(_IMAGE, _SCALE)) == ()


def test_a_fixed_model_needs_no_profile() -> None:
    assert profile_faults(_spec(), _facts(_SCALE)) == ()


def test_a_dynamic_input_without_any_profile_is_reported_at_the_model() -> None:
    assert _only_fault(_spec(), _facts(_IMAGE)) == (
        "manifest.yaml:3:5: models.digits.profiles: input 'image' has dynamic axes (batch, 1, 8, 8) and no profile;"
        " add one with min, opt and max of 'image', such as [1, 1, 8, 8]"
    )


def test_a_dynamic_input_that_a_profile_forgets_is_reported_at_the_profile() -> None:
    text = _only_fault(_spec({"scale": ShapeRange((2,), (2,), (2,))}), _facts(_IMAGE, _SCALE))
    assert text.startswith("manifest.yaml:9:7: models.digits.profiles[0]: input 'image' has dynamic axes")


def test_a_misspelt_input_comes_with_the_near_spelling() -> None:
    spec = _spec({"image": _batches(1, 8, 16), "scales": ShapeRange((2,), (2,), (2,))})
    assert _only_fault(spec, _facts(_IMAGE, _SCALE)) == (
        "manifest.yaml:9:7: models.digits.profiles[0].scales: the model has no such input; did you mean 'scale'?"
    )


def test_an_unknown_input_comes_with_the_names_of_all() -> None:
    spec = _spec({"image": _batches(1, 8, 16), "zzz": ShapeRange((2,), (2,), (2,))})
    assert _only_fault(spec, _facts(_IMAGE)).endswith("its inputs are 'image'")


def test_another_number_of_axes_is_reported() -> None:
    text = _only_fault(_spec({"image": ShapeRange((1, 8), (1, 8), (1, 8))}), _facts(_IMAGE))
    assert "models.digits.profiles[0].image: has 2 axes, but the model's input has 4: (batch, 1, 8, 8)" in text


def test_every_bound_that_contradicts_a_fixed_axis_is_named() -> None:
    shapes = ShapeRange((1, 1, 8, 4), (8, 1, 8, 8), (16, 1, 8, 9))
    text = _only_fault(_spec({"image": shapes}), _facts(_IMAGE))
    assert "axis 3 has min 4, max 9, but the model fixes it at 8" in text


def test_faults_of_all_profiles_are_reported_together() -> None:
    spec = _spec({"imago": _batches(1, 1, 1)}, {"image": ShapeRange((1,), (1,), (1,))})
    paths = [fault.path for fault in profile_faults(spec, _facts(_IMAGE))]
    assert paths == ["models.digits.profiles[0].imago", "models.digits.profiles[0]", "models.digits.profiles[1].image"]


_TOKENS, _MASK = (TensorFacts(name, "int64", ("batch", "sequence")) for name in ("tokens", "mask"))


def _tokens(low: int, best: int, high: int) -> ShapeRange:
    return ShapeRange((1, low), (1, best), (1, high))


@pytest.mark.parametrize("mask", [_tokens(1, 16, 64), _tokens(16, 16, 16), _tokens(1, 16, 99)])
def test_axes_of_one_name_may_be_equal(mask: ShapeRange) -> None:
    assert profile_faults(_spec({"tokens": _tokens(1, 16, 64), "mask": mask}), _facts(_TOKENS, _MASK)) == ()


@pytest.mark.parametrize("mask", [_tokens(1, 8, 64), _tokens(65, 66, 99), _tokens(0, 0, 0)])
def test_axes_of_one_name_that_cannot_be_equal_are_reported(mask: ShapeRange) -> None:
    text = _only_fault(_spec({"tokens": _tokens(1, 16, 64), "mask": mask}), _facts(_TOKENS, _MASK))
    assert "axis 1 cannot equal axis 1 of 'tokens', and the model calls both 'sequence'" in text


def test_a_profile_given_twice_is_reported() -> None:
    profile = {"image": _batches(1, 8, 16)}
    text = _only_fault(_spec(profile, profile), _facts(_IMAGE))
    assert "profiles[1]: is the same as profiles[0]" in text


def test_a_fixed_model_gets_one_profile_of_its_own_shapes() -> None:
    assert complete_profiles(_spec(), _facts(_SCALE)) == ({"scale": ShapeRange((2,), (2,), (2,))},)


def test_fixed_inputs_are_added_to_each_profile() -> None:
    completed = complete_profiles(
        _spec({"image": _batches(1, 1, 1)}, {"image": _batches(2, 4, 8)}), _facts(_IMAGE, _SCALE)
    )
    fixed = ShapeRange((2,), (2,), (2,))
    assert completed == (
        {"image": _batches(1, 1, 1), "scale": fixed},
        {"image": _batches(2, 4, 8), "scale": fixed},
    )


@pytest.mark.parametrize("profiles", [(), ({"zzz": _batches(1, 1, 1)},)])
def test_completing_faulty_profiles_does_not_fail(profiles: tuple[dict[str, ShapeRange], ...]) -> None:
    assert complete_profiles(_spec(*profiles), _facts(_IMAGE)) == ({},)
