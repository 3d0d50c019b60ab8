"""Which versions of full TensorRT have what a manifest may ask for: facts that need no native library.

From the headers of the releases; tests hold them against the recorded names of the real modules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.errors import BuildError
from pipeline.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.manifest.types import BuildSettings

_FIX = "use an image with a TensorRT that has it, or remove the setting from the manifest"


@dataclass(frozen=True, slots=True)
class Span:
    """Versions from ``first``, such as ``(10, 9)``, to the end of the major version ``last``; both where given."""

    first: tuple[int, int] = (8, 6)
    last: int | None = None

    def __contains__(self, version: str) -> bool:
        major, minor = map(int, re.findall(r"\d+", version)[:2])
        return self.first <= (major, minor) and (self.last is None or major <= self.last)

    def __str__(self) -> str:
        """Such as ``TensorRT 10.9 and later has it``."""
        first = "{}.{}".format(*self.first)
        return f"TensorRT {first} to {self.last}.x has it" if self.last else f"TensorRT {first} and later has it"


_TO_10, _FROM_10 = Span(last=10), Span((10, 0))
SPANS: Mapping[str, Span] = MappingProxyType(
    {
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED": _FROM_10,
        "BuilderFlag.FP16": _TO_10,
        "BuilderFlag.INT8": _TO_10,
        "BuilderFlag.BF16": Span((10, 0), 10),
        "BuilderFlag.STRIP_PLAN": _FROM_10,
        "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY": Span((10, 9)),
        "TacticSource.CUBLAS": _TO_10,
        "TacticSource.CUBLAS_LT": _TO_10,
        "TacticSource.CUDNN": _TO_10,
        "QuantizationFlag.CALIBRATE_BEFORE_FUSION": _TO_10,
    }
)
"""Names of TensorRT that some version from 8.6 on lacks -> those that have them."""
TACTIC_SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "edge-mask-convolutions": "EDGE_MASK_CONVOLUTIONS",
        "jit-convolutions": "JIT_CONVOLUTIONS",
        "cublas": "CUBLAS",
        "cublas-lt": "CUBLAS_LT",
        "cudnn": "CUDNN",
    }
)
HARDWARE_LEVELS: Mapping[str, str] = MappingProxyType(
    {"none": "NONE", "ampere+": "AMPERE_PLUS", "same-compute-capability": "SAME_COMPUTE_CAPABILITY"}
)
"""The manifest's words -> TensorRT's."""


def lacking(version: str, what: str, name: str) -> BuildError:
    """The error of ``version``, which lacks ``what``; ``name`` is TensorRT's for it."""
    span = SPANS.get(name)
    why = "it is not known to this version" if span is None else str(span)
    return BuildError(f"TensorRT {version} has no {what}", why=why, fix=_FIX)


def refuse_lacking(version: str, build: BuildSettings, precision: Precision, typing: str) -> None:
    """Raise ``BuildError`` for the first setting of a job that TensorRT ``version`` lacks.

    ``typing`` is ``strong`` or ``weak``, as the builder will be asked.
    """
    for what, name in _wanted(build, precision, typing):
        if name in SPANS and version not in SPANS[name]:
            raise lacking(version, what, name)


def _wanted(build: BuildSettings, precision: Precision, typing: str) -> Iterator[tuple[str, str]]:
    """What a job asks for, in the manifest's words, and TensorRT's name for it."""
    if typing == "strong":
        yield "strongly typed networks (`build.typing: strong`)", "NetworkDefinitionCreationFlag.STRONGLY_TYPED"
    else:
        yield "weakly typed networks (`build.typing: weak`)", "BuilderFlag.FP16"
        if precision is Precision.BF16:
            yield "bf16", "BuilderFlag.BF16"
    if build.strip_weights:
        yield "`build.strip_weights`", "BuilderFlag.STRIP_PLAN"
    level = HARDWARE_LEVELS[build.hardware_compatibility]
    yield f"`build.hardware_compatibility: {build.hardware_compatibility}`", f"HardwareCompatibilityLevel.{level}"
    for word in build.tactic_sources or ():
        yield f"tactic source {word} (`build.tactic_sources`)", f"TacticSource.{TACTIC_SOURCES[word]}"
