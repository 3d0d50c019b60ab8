"""Asks an engine for its layers, and times them where that is wanted. Runs in a child process, on device 0."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_file
from pipeline.engine.runner import Engine
from pipeline.errors import BuildError
from pipeline.inspection.inspector import layers_from_inspector
from pipeline.inspection.layer_times import timed_layers
from pipeline.inspection.layers import EngineLayers, layers_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

LAYERS_FILE = "layers.json"
_UNNAMED = "TensorRT's profiler names other layers than its inspector, so no layer has a time"
_NAMES_ALONE = "the engine tells at most layer names: build it with `build.profiling_verbosity: detailed`"


def inspect_engine(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Task ``inspect-engine``: the layers of ``request["engine"]``, timed where ``request["profile"]``.

    ``request["plugins"]`` are the libraries that it was built with.
    Writes ``layers.json`` and returns its name with warnings. Raises what ``engine_layers`` raises.
    """
    layers, warnings = engine_layers(Path(request["engine"]), profile=request["profile"], plugins=request["plugins"])
    (folder / LAYERS_FILE).write_text(json.dumps(layers_to_json(layers), indent=1), encoding="utf-8")
    return {"layers": LAYERS_FILE, "warnings": list(warnings)}


def engine_layers(path: Path, *, profile: bool, plugins: Iterable[str] = ()) -> tuple[EngineLayers, tuple[str, ...]]:
    """The layers of the plan at ``path``, and what the reader should know about them.

    Dynamic inputs have the shapes that the first profile is tuned for. Raises ``BuildError`` where the engine cannot
    be loaded, run or understood, ``ModelError`` where a timed engine cannot be fed.
    """
    engine = Engine(path, plugins=plugins)
    shapes = {name: tuple(engine.engine.get_tensor_profile_shape(name, 0)[1]) for name in engine.input_names}
    text = _inspector_text(engine, shapes)
    try:
        layers = layers_from_inspector(text)
    except ValueError as error:
        raise BuildError(
            "the engine inspector's text cannot be read",
            why=f"{error} (TensorRT {engine.trt.__version__})",
            fix=f"report it with the text, which begins: {text[:200]!r}",
        ) from error
    iterations, warnings = 0, []
    if profile:
        times, iterations = timed_layers(engine, shapes, [layer.name for layer in layers])
        layers = tuple(replace(layer, time_ms=time_ms) for layer, time_ms in zip(layers, times, strict=True))
        if layers and all(time_ms is None for time_ms in times):
            warnings.append(_UNNAMED)
    detailed = any(layer.type is not None for layer in layers)
    if not detailed:
        warnings.append(_NAMES_ALONE)
    found = EngineLayers(
        engine_digest=digest_from_file(path),
        runtime_version=engine.trt.__version__,
        detailed=detailed,
        shapes=shapes,
        profiled_iterations=iterations,
        layers=layers,
    )
    return found, tuple(warnings)


def _inspector_text(engine: Engine, shapes: dict[str, tuple[int, ...]]) -> str:
    """What the inspector tells. It leaves out the types of dynamic tensors unless a context has their shapes."""
    for name, shape in shapes.items():
        engine.context.set_input_shape(name, shape)
    inspector = engine.engine.create_engine_inspector()
    inspector.execution_context = engine.context
    text: str = inspector.get_engine_information(engine.trt.LayerInformationFormat.JSON)
    return text
