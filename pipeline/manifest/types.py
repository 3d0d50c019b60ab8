"""A manifest as written, with its defaults filled in. Frozen values; nothing here touches a disk.

Paths are absolute. A field is ``None`` where the user said nothing and the builder's own default holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.digest import Digest
    from pipeline.precision import Precision
    from pipeline.targets import Target


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the manifest; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class ShapeRange:
    """The shapes that one input may take in one profile: ``min <= opt <= max``, dimension by dimension."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """An optimization profile: input name -> its shapes, in the order of the manifest."""

    shapes: tuple[tuple[str, ShapeRange], ...]
    location: Location = field(compare=False)


class CalibrationMethod(str, Enum):
    """How a tensor's range is chosen from the values seen."""

    ENTROPY = "entropy"
    MINMAX = "minmax"
    PERCENTILE = "percentile"
    LEGACY = "legacy"
    """TensorRT's own ``IInt8LegacyCalibrator``; only with ``int8: implicit``."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Where INT8 ranges come from: either ``data``, one ``.npz``, one ``.npy`` or a folder of them, or ``table``."""

    data: Path | None = None
    samples: int | None = None
    """Use the first so many samples; all where ``None``."""
    batch_size: int = 8
    method: CalibrationMethod = CalibrationMethod.ENTROPY
    percentile: float = 99.99
    """Share of absolute values kept, in percent; only read by ``percentile``."""
    table: Path | None = None
    """A calibration table in TensorRT's text form. All fields above but this have their defaults where it is given."""
    reuse_within: float | None = None
    """How far ranges may have moved, as a share, for a retrained model to keep the table; never kept where ``None``."""
    location: Location = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """What is asked of the builder. ``None`` leaves the builder's default."""

    typing: str = "auto"
    """``auto``, ``strong`` or ``weak``: whether the model carries the precision, or the builder is asked for it."""
    int8: str = "explicit"
    """``explicit`` (Q/DQ nodes) or ``implicit`` (calibration table; weakly typed builders only)."""
    tactic_sources: tuple[str, ...] | None = None
    optimization_level: int | None = None
    workspace_mib: int | None = None
    timeout_s: float = 3600.0
    sparsity: bool = False
    version_compatible: bool = False
    hardware_compatibility: str = "none"
    """``none``, ``ampere+`` or ``same-compute-capability``."""
    refit: str = "auto"
    """``auto``, ``always`` or ``never``: whether engines are built so that their weights can be replaced."""
    strip_weights: bool = False
    plugins: tuple[Path, ...] = ()
    profiling_verbosity: str | None = None
    """``none``, ``layer-names`` or ``detailed``; where ``None``, ``detailed`` for TensorRT, else ``layer-names``."""
    layer_precisions: tuple[tuple[str, Precision], ...] = ()
    """Glob over ONNX node names -> the lowest precision that these nodes may run in (``fp32`` or ``fp16``)."""
    dla_core: int | None = None
    """The deep learning accelerator to build for; the GPU where ``None``."""
    gpu_fallback: bool = False
    """Whether layers that the DLA core cannot run go to the GPU."""
    min_precision_share: float = 0.5
    """The share, 0 to 1, of compute layers that must run in the precision asked for. It judges a finished engine."""
    deterministic: str | None = None
    """``record`` keeps the tactics with the engine; ``verify`` builds again from them, and compares."""


class Metric(str, Enum):
    """How an engine's outputs are compared with the original model's.

    ``top1-drop`` is in percentage points of labelled accuracy lost; ``cosine`` is the smallest cosine similarity
    of any sample; ``max-absolute-error`` and ``max-relative-error`` are the largest of any element, the latter
    relative to the largest magnitude of the reference output.
    """

    TOP1_DROP = "top1-drop"
    COSINE = "cosine"
    MAX_ABSOLUTE_ERROR = "max-absolute-error"
    MAX_RELATIVE_ERROR = "max-relative-error"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A limit on one metric for one precision. ``cosine`` must be at least ``limit``, all others at most."""

    metric: Metric
    precision: Precision
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Evaluation data and what may be lost on it."""

    data: Path
    labels: Path | None = None
    """``.npy`` of integers, one per sample; needed by ``top1-drop``."""
    samples: int | None = None
    tolerances: tuple[Tolerance, ...]
    """One per metric and precision; defaults (documented in the schema) are filled in."""
    location: Location = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What a change may cost before the run fails."""

    engine_size_mib: float | None = None
    build_s: float | None = None
    latency_ms: float | None = None
    """Median of the GPU's own time for one inference."""
    regression_percent: float | None = None
    """How much longer one inference may take than with the base branch's engine, timed in turn on one GPU."""


class Items(NamedTuple):
    """What one inference handles, such as 8 ``images``."""

    per_inference: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PyTorchModel:
    """The original model in PyTorch, made by another interpreter, which has torch and need not be on this machine."""

    model: str
    """``module:function``; the function takes no argument and returns a ``torch.nn.Module``."""
    interpreter: Path
    inputs: tuple[str, ...] = ()
    """ONNX input names in the order of the module's arguments; the order of the ONNX model where empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """How an engine is timed. ``data`` is one ``.npz``, one ``.npy`` or a folder of them."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Input name -> shape while timing. They fit one profile together, whose ``opt`` holds for all other inputs."""
    warmup_s: float = 2.0
    duration_s: float = 5.0
    streams: int = 1
    cuda_graph: bool = True
    items: Items | None = None
    data: Path | None = None
    """The input values; random ones from ``seed`` where ``None``."""
    seed: int = 0
    originals: tuple[str, ...] = ()
    """What the engine is compared with: ``onnxruntime`` and ``pytorch``."""
    pytorch: PyTorchModel | None = None
    """Given exactly where ``originals`` has ``pytorch``."""
    location: Location = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model and all that is to be done with it."""

    name: str
    onnx: Path
    sha256: Digest | None
    profiles: tuple[Profile, ...]
    targets: tuple[Target, ...]
    precisions: tuple[Precision, ...]
    calibration: Calibration | None
    build: BuildSettings
    accuracy: Accuracy | None
    budgets: Budgets
    location: Location = field(compare=False)
    benchmark: Benchmark | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest."""

    path: Path
    version: int
    models: tuple[ModelSpec, ...]
    runners: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Target id, or ``default`` -> the labels of the runners that build it."""
