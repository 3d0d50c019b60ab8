from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.build import tensorrt
from pipeline.build.diagnosis import diagnosis_from_errors
from pipeline.build.plan_header import PlanHeader
from pipeline.build.refit_outcome import NotRefittableError
from pipeline.build.refit_refusal import failed_build
from pipeline.build.request import BuildRequest
from pipeline.errors import BuildError
from pipeline.precision import Precision
from tests.support.recorded_tensorrt import TRT, Builder, Native, network, tensor

NO_KERNEL = (
    "10: [optimizer.cpp::computeCosts::3873] Error Code 10: Internal Error (Could not find any implementation for node "
    "{ForeignNode[norm1.weight + (Unnamed Layer* 170) [Shuffle].../Reshape_3]}.)"
)


def error_of(*errors: str, refit: bool = True) -> BuildError:
    return failed_build(errors, diagnosis_from_errors(errors), refit=refit)


@pytest.mark.parametrize(
    "errors",
    [
        (NO_KERNEL,),
        ("[build.cpp::build::1] Error Code 2: Internal Error (Assertion weights.isRefittable failed.)",),
        ("4: the network is not refittable",),
        (),
        (NO_KERNEL, "2: [builder.cpp::buildSerializedNetwork::751] Assertion engine != nullptr failed."),
    ],
)
def test_a_failure_that_may_be_refits_is_told_from_others(errors: tuple[str, ...]) -> None:
    assert isinstance(error_of(*errors), NotRefittableError)


@pytest.mark.parametrize(
    "errors",
    [
        ("1: [resizingAllocator.cpp::allocate] Error Code 1: Cuda Runtime (out of memory)",),
        (NO_KERNEL, "Requested amount of GPU memory (4294967296 bytes) could not be allocated: out of memory"),
        ("Could not find any implementation for node /conv due to insufficient workspace. See verbose log",),
        ("4: [network.cpp::validate] Error Code 4: Internal Error (image: optimization profile is missing values)",),
        ("Unable to load library: libcudnn.so.8",),
    ],
)
def test_what_would_be_said_again_or_wants_memory_is_a_plain_failure(errors: tuple[str, ...]) -> None:
    assert type(error_of(*errors)) is BuildError


def test_a_failure_without_refit_is_never_refits() -> None:
    assert type(error_of(NO_KERNEL, refit=False)) is BuildError


def test_it_says_the_builders_decisive_line_and_what_to_do() -> None:
    error = error_of("3: something else", NO_KERNEL)
    assert "Could not find any implementation for node {ForeignNode[norm1.weight" in error.why
    assert error.fix.startswith("use `refit: auto`")


def test_a_line_without_end_is_cut() -> None:
    assert len(error_of(f"{NO_KERNEL} {'x' * 10_000}").why) <= 303


class _NoEngine(Builder):
    """Says ``line``, and returns nothing."""

    native: Native
    line: str

    def build_serialized_network(self, network: Any, config: Any) -> None:
        self.native.log.take("ERROR", self.line)


def _build_with(monkeypatch: pytest.MonkeyPatch, native: Native) -> None:
    """Let the next build take ``native``, with nothing asked of its configuration."""
    monkeypatch.setattr(tensorrt, "NativeTensorRT", lambda: native)
    for name in ("configure", "ask_for_precision", "add_profiles", "load_timing_cache"):
        monkeypatch.setattr(tensorrt, name, lambda *_arguments, **_named: None)


def _request(*, refit: bool) -> BuildRequest:
    return BuildRequest(
        runtime="tensorrt",
        model=Path("model.onnx"),
        compute_capability=(9, 0),
        precision=Precision.FP16,
        typing="weak",
        refit=refit,
    )


@pytest.mark.parametrize(("refit", "kind"), [(True, NotRefittableError), (False, BuildError)])
def test_a_build_that_returns_nothing_raises_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refit: bool, kind: type[BuildError]
) -> None:
    builder = _NoEngine("")
    native = Native(builder, SimpleNamespace(**vars(network([tensor("image", shape=(1, 1))], [])), num_outputs=0))
    builder.native, builder.line = native, NO_KERNEL
    # Logged before the build, so that it says nothing of why that failed.
    native.log.take("ERROR", "myelinCache.h: the timing cache is out of memory")
    _build_with(monkeypatch, native)
    with pytest.raises(BuildError) as caught:
        tensorrt.build_engine(_request(refit=refit), tmp_path)
    assert type(caught.value) is kind


class _Whole(Builder):
    def build_serialized_network(self, network: Any, config: Any) -> Any:
        return memoryview(b"plan")


@pytest.mark.parametrize(
    ("version", "refit", "warned"),
    [("11.3.0.99", True, True), ("11.3.0.99", False, False), ("11.4.0.106", True, False)],
)
def test_a_refittable_engine_of_a_version_that_gets_them_wrong_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, refit: bool, warned: bool
) -> None:
    parsed = SimpleNamespace(**vars(network([], [])), num_outputs=0)
    trt = SimpleNamespace(**(vars(TRT) | {"__version__": version}))
    _build_with(monkeypatch, Native(_Whole(""), parsed, trt))
    header = PlanHeader(magic="ftrt", version=version, size_bytes=None, capability_mask=None)
    for name, given in (("checked_header", header), ("write_weights", "weights.json"), ("kept_tactics", None)):
        monkeypatch.setattr(tensorrt, name, lambda *_arguments, given=given: given)
    told = tensorrt.build_engine(_request(refit=refit), tmp_path).warnings
    assert any("drop the bias of matrix products" in text for text in told) == warned
