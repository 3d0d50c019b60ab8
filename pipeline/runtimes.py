"""What each runtime can be asked for in this version: facts that need no native library.

The limits of TensorRT-RTX were measured with release 1.7.1, which builds on a machine without a GPU. Everything that
it cannot do, or would leave undone without a word, is refused here with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.errors import DeviceError
from pipeline.precision import Precision
from pipeline.targets import TENSORRT, TENSORRT_RTX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.manifest.types import BuildSettings, ModelSpec
    from pipeline.targets import Target

RTX_COMPUTE_CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
"""What TensorRT-RTX builds for ahead of time (its ``ComputeCapability`` enum)."""
_NO_RUN = "engines of TensorRT-RTX are not run by this version, so nothing can be timed"
_HOST_CODE = "a version compatible engine brings host code of its own, the lean runtime, which this step never loads"
_TIMED_BUDGETS = ("latency_ms", "regression_percent")
_NO_WEIGHTLESS = "TensorRT-RTX fails inside its compiler when it builds this on a machine without a GPU"
_TURING = (7, 5)
_LAST_WEAK = 10
_TO_FULL = f"or build with `runtime: {TENSORRT}`"
_RTX_ACCEPTS: tuple[tuple[str, tuple[object, ...], str, str], ...] = (
    (
        "typing",
        ("auto", "strong"),
        "TensorRT-RTX builds strongly typed networks only; precision is prepared in the model",
        "remove `typing`",
    ),
    (
        "int8",
        ("explicit",),
        "TensorRT-RTX reads INT8 from Q/DQ nodes alone; it has no calibrators",
        "remove `int8`",
    ),
    ("tactic_sources", (None,), "TensorRT-RTX has no choice of tactic sources", "remove `tactic_sources`"),
    (
        "version_compatible",
        (False,),
        "the lean runtime that a version compatible engine needs is not shipped with TensorRT-RTX",
        f"remove it, {_TO_FULL}",
    ),
    (
        "hardware_compatibility",
        ("none",),
        "it has no effect in TensorRT-RTX; its engines are bound to the compute capabilities they name",
        "list each compute capability as a target",
    ),
    ("refit", ("auto", "never"), _NO_WEIGHTLESS, "remove `refit`"),
    ("strip_weights", (False,), _NO_WEIGHTLESS, "remove `strip_weights`"),
    ("plugins", ((),), "TensorRT-RTX cannot load plugin libraries", f"remove `plugins`, {_TO_FULL}"),
    ("dla_core", (None,), "TensorRT-RTX does not build for DLA cores", f"remove `dla_core`, {_TO_FULL}"),
    (
        "gpu_fallback",
        (False,),
        "TensorRT-RTX does not build for DLA cores, so nothing falls back",
        "remove `gpu_fallback`",
    ),
    ("deterministic", (None,), "TensorRT-RTX has no timing cache to keep tactics in", f"remove it, {_TO_FULL}"),
    (
        "min_precision_share",
        (0.5,),
        "the layers of a TensorRT-RTX engine are not inspected; its precision is that of the prepared model",
        "remove `min_precision_share`",
    ),
)
"""Field of ``build`` -> what TensorRT-RTX takes, why nothing else, and what to do. A default asks for nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A field that cannot be honoured. ``field`` is its path below the model, such as ``("build", "refit")``."""

    field: tuple[str, ...]
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime by the word that manifests use, with the distributions that must be installed for it."""

    name: str
    distributions: tuple[str, ...]

    def installed_version(self) -> str | None:
        """The installed version, from package metadata alone; ``None`` where any part is not installed.

        Raises ``DeviceError`` where the parts are of different versions.
        """
        try:
            versions = [metadata.version(distribution) for distribution in self.distributions]
        except metadata.PackageNotFoundError:
            return None
        if len(set(versions)) > 1:
            found = ", ".join(f"{name} {version}" for name, version in zip(self.distributions, versions, strict=True))
            raise DeviceError(
                f"the packages of {self.name} are of different versions", why=found, fix="install them at one version"
            )
        return versions[0]


RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        runtime.name: runtime
        for runtime in (
            Runtime(TENSORRT, ("tensorrt",)),
            Runtime(TENSORRT_RTX, ("tensorrt_rtx_cu13_libs", "tensorrt_rtx_cu13_bindings")),
        )
    }
)
"""Every runtime that a manifest may name."""


def refusals(spec: ModelSpec, target: Target, precision: Precision) -> tuple[Refusal, ...]:
    """Everything that keeps this version from building ``spec`` for ``target`` in ``precision``."""
    return (
        *target_refusals(target),
        *precision_refusals(target, precision),
        *build_refusals(target, spec.build),
    )


def run_refusals(targets: Sequence[Target], build: BuildSettings, *, timed: bool) -> tuple[Refusal, ...]:
    """The fields, if present, that ask for more than can be learned from running the engines of ``targets``.

    A field that some target can honour is not refused: a benchmark runs where an engine can. ``timed`` says whether
    the model has one.
    """
    if targets and all(target.runtime == TENSORRT_RTX for target in targets):
        return _nothing_timed(_NO_RUN, f"or add a target with `runtime: {TENSORRT}`")
    if build.version_compatible:
        return _nothing_timed(f"{_HOST_CODE}, so nothing can be timed", "or `version_compatible`")
    if timed:
        return ()
    return tuple(
        Refusal(
            ("budgets", name),
            "nothing is timed without `benchmark`",
            f"add `benchmark: {{}}`, here or in `defaults`, or remove `{name}`",
        )
        for name in _TIMED_BUDGETS
    )


def target_refusals(target: Target) -> tuple[Refusal, ...]:
    """Whether the target's runtime builds for its compute capability at all."""
    if target.runtime != TENSORRT_RTX or target.compute_capability in RTX_COMPUTE_CAPABILITIES:
        return ()
    known = ", ".join(map(_capability, RTX_COMPUTE_CAPABILITIES))
    reason = (
        f"TensorRT-RTX does not build for compute capability {_capability(target.compute_capability)}, only {known}"
    )
    return (Refusal(("targets",), reason, f"use `runtime: {TENSORRT}` for this target"),)


def precision_refusals(target: Target, precision: Precision) -> tuple[Refusal, ...]:
    """Whether ``precision`` can be built for ``target``."""
    if precision in (Precision.FP8, Precision.INT4):
        reason = f"{precision} needs a quantizer that is not part of this version"
        return (Refusal(("precisions",), reason, "use int8 or int8-fp16"),)
    if target.runtime == TENSORRT_RTX and target.compute_capability == _TURING:
        if precision is Precision.BF16:
            reason = f"TensorRT-RTX cannot compile bf16 for {target.id} (compute capability 7.5)"
            return (Refusal(("precisions",), reason, "use fp16, or give that target a model entry of its own"),)
        if precision is Precision.TF32:
            reason = f"{target.id} (compute capability 7.5) has no TF32, so the engine would be the same as fp32"
            return (Refusal(("precisions",), reason, "use fp32, or give that target a model entry of its own"),)
    return ()


def build_refusals(target: Target, build: BuildSettings) -> tuple[Refusal, ...]:
    """The settings that the target's runtime would refuse or silently leave out."""
    return tuple((_rtx_build_refusals if target.runtime == TENSORRT_RTX else _tensorrt_build_refusals)(build))


def effective_typing(target: Target, build: BuildSettings, version: str) -> str:
    """``strong`` or ``weak``, as ``target``'s runtime in ``version`` will be asked.

    TensorRT-RTX, and TensorRT from 11 on, are strongly typed alone (release notes of 11.0).
    """
    if target.runtime == TENSORRT_RTX:
        return "strong"
    if build.typing == "auto":
        return "weak" if int(version.split(".", maxsplit=1)[0]) <= _LAST_WEAK else "strong"
    return build.typing


def effective_refit(target: Target, build: BuildSettings, precision: Precision, version: str) -> bool:
    """Whether the engine is built so that its weights can be replaced."""
    if build.refit == "always" or build.strip_weights:
        return True
    return build.refit == "auto" and not refit_hindrance(target, build, precision, version)


def refit_hindrance(target: Target, build: BuildSettings, precision: Precision, version: str) -> str:
    """Why ``refit: auto`` does not build refittable engines in this case; empty where it does.

    TensorRT 11.3 drops the bias of matrix products from refittable engines (its documentation, "Refitting engines").
    """
    if target.runtime == TENSORRT_RTX:
        return _NO_WEIGHTLESS
    if precision.quantized:
        return "the ranges of INT8 belong to the weights, and are fixed in the engine"
    if build.sparsity:
        return "kernels for sparse weights would be given weights that need not be sparse"
    if build.dla_core is not None or build.version_compatible or build.plugins:
        return "refitting with DLA cores, version compatibility or plugins was not tried"
    return "TensorRT 11.3 computes wrong numbers with refittable engines" if wrong_with_refit(version) else ""


def wrong_with_refit(version: str) -> bool:
    """Whether refittable engines of TensorRT ``version`` are documented to compute wrong numbers."""
    return version.startswith("11.3.")


def run_hindrance(target: Target, build: BuildSettings) -> str:
    """Why this step does not load an engine, and so neither inspects nor runs it; empty where it does.

    TensorRT loads a version compatible engine only where it is told to allow host code (its documentation, "Version
    compatibility"), and then runs whatever code the file has.
    """
    if target.runtime == TENSORRT_RTX:
        return _NO_RUN
    return _HOST_CODE if build.version_compatible else ""


def effective_verbosity(target: Target, build: BuildSettings) -> str:
    """How much an engine for ``target`` is to tell of its layers: everything, where they are inspected."""
    return build.profiling_verbosity or ("detailed" if target.runtime == TENSORRT else "layer-names")


def _nothing_timed(reason: str, fix: str) -> tuple[Refusal, ...]:
    return (
        Refusal(("benchmark",), reason, f"remove `benchmark`, {fix}"),
        *(Refusal(("budgets", name), reason, f"remove `{name}`, {fix}") for name in _TIMED_BUDGETS),
    )


def _tensorrt_build_refusals(build: BuildSettings) -> Iterator[Refusal]:
    if build.typing == "strong" and build.int8 == "implicit":
        reason = "a strongly typed network takes INT8 from Q/DQ nodes alone"
        yield Refusal(("build", "int8"), reason, "use `int8: explicit`, or `typing: weak`")
    if build.strip_weights and build.refit == "never":
        reason = "an engine without weights gets them by a refit"
        yield Refusal(("build", "refit"), reason, "remove `refit`, or `strip_weights`")
    if build.gpu_fallback and build.dla_core is None:
        reason = "only layers that a DLA core cannot run fall back to the GPU"
        yield Refusal(("build", "gpu_fallback"), reason, "add `dla_core`, or remove `gpu_fallback`")
    if build.deterministic == "verify" and build.version_compatible:
        reason = f"{_HOST_CODE}, so the tactics of two builds cannot be compared"
        yield Refusal(("build", "deterministic"), reason, "use `record`, or remove `version_compatible`")
    if build.deterministic is not None and build.profiling_verbosity not in (None, "detailed"):
        reason = "tactics can be compared only where the engine tells them"
        yield Refusal(("build", "deterministic"), reason, "remove `profiling_verbosity`, or `deterministic`")


def _rtx_build_refusals(build: BuildSettings) -> Iterator[Refusal]:
    for field, accepted, reason, fix in _RTX_ACCEPTS:
        if getattr(build, field) not in accepted:
            yield Refusal(("build", field), reason, fix)


def _capability(pair: tuple[int, int]) -> str:
    major, minor = pair
    return f"{major}.{minor}"
