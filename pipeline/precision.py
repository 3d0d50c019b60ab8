"""The precisions that an engine can be asked for."""

from __future__ import annotations

from enum import Enum


class Precision(str, Enum):
    """What the engine computes in. The value is the word used in manifests, job ids and file names."""

    FP32 = "fp32"
    """IEEE single precision, with TF32 switched off."""
    TF32 = "tf32"
    """Single precision storage; matrix products may use TF32 (10-bit mantissa)."""
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    """INT8 matrix products and convolutions; everything else in FP32."""
    INT8_FP16 = "int8-fp16"
    """INT8 matrix products and convolutions; everything else in FP16."""
    FP8 = "fp8"
    INT4 = "int4"

    def __str__(self) -> str:
        return self.value

    @property
    def quantized(self) -> bool:
        """Whether it needs a calibration table."""
        return self in (Precision.INT8, Precision.INT8_FP16)
