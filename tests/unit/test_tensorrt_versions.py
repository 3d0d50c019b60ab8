from __future__ import annotations

import pytest

from pipeline.errors import BuildError
from pipeline.manifest.types import BuildSettings
from pipeline.precision import Precision
from pipeline.tensorrt_versions import refuse_lacking

FP16 = Precision.FP16


@pytest.mark.parametrize(
    ("version", "build", "precision", "typing", "told"),
    [
        ("8.6.0", BuildSettings(typing="strong"), FP16, "strong", "strongly typed.*TensorRT 10.0 and later has it"),
        ("8.6.3", BuildSettings(), Precision.BF16, "weak", "bf16: TensorRT 10.0 to 10.x has it"),
        ("8.6.1", BuildSettings(strip_weights=True), FP16, "weak", "strip_weights`: TensorRT 10.0 and later has it"),
        (
            "10.8.0.43",
            BuildSettings(hardware_compatibility="same-compute-capability"),
            FP16,
            "weak",
            "same-compute-capability`: TensorRT 10.9 and later has it",
        ),
        (
            "11.1.0.106",
            BuildSettings(tactic_sources=("jit-convolutions", "cublas-lt")),
            FP16,
            "strong",
            "source cublas-lt .*: TensorRT 8.6 to 10.x has it",
        ),
        ("11.4.0.106", BuildSettings(typing="weak"), FP16, "weak", "weakly typed.*TensorRT 8.6 to 10.x has it"),
    ],
)
def test_a_setting_that_the_version_lacks_is_refused_with_those_that_have_it(
    version: str, build: BuildSettings, precision: Precision, typing: str, told: str
) -> None:
    with pytest.raises(BuildError, match=f"TensorRT {version} has no .*{told}"):
        refuse_lacking(version, build, precision, typing)


@pytest.mark.parametrize(
    ("version", "build", "precision", "typing"),
    [
        ("8.6.0", BuildSettings(tactic_sources=("cudnn",), hardware_compatibility="ampere+"), FP16, "weak"),
        ("10.9.0.34", BuildSettings(hardware_compatibility="same-compute-capability"), Precision.BF16, "weak"),
        ("10.13.3.9", BuildSettings(typing="strong", strip_weights=True), Precision.BF16, "strong"),
        ("11.4.0.106", BuildSettings(tactic_sources=("edge-mask-convolutions",)), Precision.BF16, "strong"),
    ],
)
def test_a_setting_that_the_version_has_is_not(
    version: str, build: BuildSettings, precision: Precision, typing: str
) -> None:
    refuse_lacking(version, build, precision, typing)
