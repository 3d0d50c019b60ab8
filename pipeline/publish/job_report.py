"""What is published about one job of a run: how it ended, its engine, accuracy, speed and layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipeline.bench.measurement import Measurement  # noqa: TC001  record_from_json reads the annotations
from pipeline.digest import Digest  # noqa: TC001
from pipeline.inspection.precision_shares import PrecisionShare  # noqa: TC001
from pipeline.manifest.types import Metric  # noqa: TC001
from pipeline.precision import Precision  # noqa: TC001


class Status(str, Enum):
    """How one job ended."""

    BUILT = "built"
    CACHED = "cached"
    FAILED = "failed"
    NEEDS_RUNNER = "needs-runner"
    """Another machine must build it."""
    SKIPPED = "skipped"
    """Something that it depends on failed."""
    CANCELLED = "cancelled"

    def __str__(self) -> str:
        return self.value


class Subject(str, Enum):
    """What the accuracy figures were measured on."""

    PREPARED_MODEL = "prepared model"
    """The model that was handed to the builder, run by ONNX Runtime, for want of the engine's GPU."""
    ENGINE = "engine"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class TensorReport:
    """An input or output of an engine. A dimension is its size, a symbol, or ``None`` (-1 in TensorRT)."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """An engine. ``path`` is relative to the output folder, with forward slashes; ``None`` where it is in the cache."""

    path: str | None
    size_bytes: int
    digest: Digest
    key: Digest
    inputs: tuple[TensorReport, ...]
    outputs: tuple[TensorReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputAccuracy:
    """How one output differs from the original model's; a figure that is not finite becomes ``None``.

    ``cosine_min`` is the smallest cosine similarity of any sample, the errors are the largest of any element;
    ``max_relative_error`` is relative to the largest magnitude of the reference output.
    """

    name: str
    cosine_min: float | None
    max_absolute_error: float | None
    max_relative_error: float | None
    exact_match: float | None = None
    """Share of equal elements, 0 to 1, of an output that holds no floating-point numbers; ``None`` for all others."""

    def __post_init__(self) -> None:
        _drop_not_finite(self, "cosine_min", "max_absolute_error", "max_relative_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricVerdict:
    """One tolerance and what was measured; ``measured`` and ``margin`` are ``None`` where there is no finite figure.

    ``margin`` is how far inside the limit the figure lies, in the metric's own unit; negative where it was missed.
    ``output`` names the worst output, empty where the figure is not of one output; ``reason`` says why nothing
    could be measured, empty where it could.
    """

    metric: Metric
    measured: float | None
    limit: float
    passed: bool
    margin: float | None
    output: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        _drop_not_finite(self, "measured", "margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyReport:
    """The comparison with the original model. Top-1 is in percent, and ``None`` where there are no labels.

    ``emulated`` says that ONNX Runtime cannot compute in this precision, and rounded in its place.
    """

    subject: Subject
    emulated: bool
    samples: int
    top1_reference_percent: float | None
    top1_candidate_percent: float | None
    outputs: tuple[OutputAccuracy, ...]
    verdicts: tuple[MetricVerdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedReport:
    """How fast an engine is, and the original model in each framework that it was timed in."""

    engine: Measurement
    originals: tuple[Measurement, ...] = ()

    def factor_over(self, original: Measurement) -> float:
        """How many times faster than ``original``: the ratio of median compute times."""
        return original.compute.p50_ms / self.engine.compute.p50_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersReport:
    """What an engine is made of. ``shares`` are of all layers, most time first; ``path`` has every layer.

    ``granted_share`` is the share of the compute layers that run in the precision asked for, 0 to 1, ``None`` where
    none was asked for or it cannot be told. ``tactics`` says what building again from the same tactics gave.
    """

    layers: int
    path: str | None
    granted_share: float | None
    shares: tuple[PrecisionShare, ...]
    tactics: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReport:
    """Why a job failed: ``kind`` is a word such as ``build``; ``exit_code`` is that of the error.

    ``log_tail`` holds the decisive lines of the log, at best its last; ``log`` is the whole log's path, relative
    to the output folder.
    """

    kind: str
    exit_code: int
    what: str
    why: str = ""
    fix: str = ""
    log_tail: tuple[str, ...] = ()
    log: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitReport:
    """How an engine was made of another. ``origin`` is the key of that, whose build took ``instead_of_s``.

    ``refit_s`` is what TensorRT took to load, refit and write it. The engine has ``weights`` weights, and ``changed``
    tensors of the model had other values.
    """

    origin: Digest
    refit_s: float
    instead_of_s: float
    weights: int
    changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalibrationReport:
    """What a retraining did to the calibration table. ``seconds`` is how long it took to know.

    ``reused`` says that the table of the earlier weights was kept. Of ``tensors`` ranges ``moved`` have changed, by at
    most ``largest_factor`` up or down and by ``median_factor`` in the middle: over all calibration data, or over a
    sample where the table was kept.
    """

    seconds: float
    reused: bool
    tensors: int
    moved: int
    largest_factor: float
    median_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """One job. ``id`` is ``<model>/<target>/<precision>``; ``compute_capability`` is like ``8.9``.

    ``reason`` says why it was a hit or what changed. ``build_s`` is what building took in this run, ``None`` where
    nothing was built; ``previous_build_s`` is the last duration that the cache knows. ``refit`` says that the engine is
    another one with new weights, made now or earlier; ``recalibration`` says what a retrained model did in this run to
    the table of its earlier weights.
    """

    id: str
    model: str
    target: str
    precision: Precision
    runtime: str
    compute_capability: str
    status: Status
    reason: str
    build_s: float | None = None
    previous_build_s: float | None = None
    refit: RefitReport | None = None
    recalibration: RecalibrationReport | None = None
    engine: EngineReport | None = None
    accuracy: AccuracyReport | None = None
    layers: LayersReport | None = None
    speed: SpeedReport | None = None
    failure: FailureReport | None = None
    warnings: tuple[str, ...] = ()


def _drop_not_finite(record: Any, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if value is not None and not math.isfinite(value):
            object.__setattr__(record, name, None)
