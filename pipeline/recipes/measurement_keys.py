"""What each measurement is made from: the ingredients of its cache key (pure).

An engine is known by its bytes here, since two builds of one key may have other tactics. ``tools`` is package name ->
installed version, of the packages whose version can change what is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_json
from pipeline.recipes.numbers import numbered_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.digest import Digest
    from pipeline.keys import Ingredient, Key


def check_key(
    prepared: Mapping[str, Ingredient],
    data: Digest,
    labels: Digest | None,
    samples: int | None,
    tools: Mapping[str, str],
) -> Key:
    """A comparison of a typed model with its original. Tolerances judge the figures later and are no part of it."""
    return numbered_key("check", {**prepared, **_judged(data, labels, samples, tools)})


def engine_check_key(
    engine: Digest,
    model: Digest,
    data: Digest,
    labels: Digest | None,
    *,
    samples: int | None,
    tools: Mapping[str, str],
) -> Key:
    """A comparison of an engine itself with the original model: by the engine's bytes, since tactics differ."""
    named = {"engine": str(engine), "model": str(model)}
    return numbered_key("check", {**named, **_judged(data, labels, samples, tools)})


def layers_key(engine: Digest, *, gpu: str, driver: str) -> Key:
    """The layers of an engine with their times."""
    return numbered_key("layers", {"engine": str(engine), "layers.gpu": gpu, "layers.driver": driver})


def rebuild_key(engine: Digest, tactics: Digest) -> Key:
    """The comparison of an engine with a second build from its own tactics."""
    return numbered_key("rebuild", {"engine": str(engine), "tactics": str(tactics)})


def benchmark_key(engine: Digest, settings: Mapping[str, Any], *, data: Digest | None, gpu: str, driver: str) -> Key:
    """The timing of an engine on one kind of GPU under one driver. ``settings`` is JSON."""
    return numbered_key("benchmark", {"engine": str(engine), **_timed(settings, data, gpu, driver)})


def comparison_key(
    base: Digest,
    head: Digest,
    settings: Mapping[str, Any],
    *,
    budget_percent: float | None,
    data: Digest | None,
    gpu: str,
    driver: str,
) -> Key:
    """Two engines timed in turn on one GPU. The budget is part of it: it decides how long they are timed."""
    named = {"engine.base": str(base), "engine": str(head), "comparison.budget-percent": budget_percent}
    return numbered_key("comparison", {**named, **_timed(settings, data, gpu, driver)})


def original_key(model: Digest, settings: Mapping[str, Any], *, data: Digest | None, gpu: str, driver: str) -> Key:
    """The timing of an original model in a framework. A PyTorch model is known by the ONNX model made of it."""
    return numbered_key("original", {"model": str(model), **_timed(settings, data, gpu, driver)})


def _judged(
    data: Digest, labels: Digest | None, samples: int | None, tools: Mapping[str, str]
) -> dict[str, Ingredient]:
    return {
        "accuracy.data": str(data),
        "accuracy.labels": str(labels) if labels else None,
        "accuracy.samples": samples,
        "tool.onnxruntime": tools["onnxruntime"],
        "tool.numpy": tools["numpy"],
    }


def _timed(settings: Mapping[str, Any], data: Digest | None, gpu: str, driver: str) -> dict[str, Ingredient]:
    return {
        "benchmark.settings": str(digest_from_json(settings)),
        "benchmark.data": str(data) if data else None,
        "benchmark.gpu": gpu,
        "benchmark.driver": driver,
    }
