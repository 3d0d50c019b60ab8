"""Times the original model in the framework that it came from. Runs in a child process.

Where that framework uses the GPU, it has the GPU alone, as the engine has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.bench.gpu_watch import GpuWatch, throttling_told
from pipeline.bench.inputs import inputs_from_request
from pipeline.bench.measurement import PYTORCH, Measurement, measurement_to_json
from pipeline.bench.onnxruntime_original import time_onnxruntime
from pipeline.bench.pytorch_original import time_pytorch
from pipeline.bench.samples import compact_from_ms, distribution_from_ms

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.bench.timed import Timed


def benchmark_original(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Task ``benchmark-original``: time ``request["framework"]``, ``onnxruntime`` or ``pytorch``.

    Request: ``model`` (the ONNX file), ``pytorch`` (``model``, ``interpreter``, ``inputs``, ``folder``, or null),
    ``inputs``, ``shapes``, ``warmup_s``, ``duration_s``, ``items``, ``data``, ``seed``. Returns ``measurements``,
    ``Measurement`` as JSON. Raises ``ModelError`` where the framework cannot run the model.
    """
    watch = GpuWatch()
    watch.refuse_shared_gpu()
    inputs = inputs_from_request(request)
    subject = request["framework"]
    if subject == PYTORCH:
        found = time_pytorch(request, inputs, watch, folder)
    else:
        found = (time_onnxruntime(request, inputs, watch),)
    return {"measurements": [measurement_to_json(_measurement(request, subject, each)) for each in found]}


def _measurement(request: dict[str, Any], subject: str, timed: Timed) -> Measurement:
    items = request["items"] or {}
    return Measurement(
        subject=subject,
        device=timed.device,
        version=timed.version,
        precision=timed.precision,
        shapes={name: tuple(shape) for name, shape in request["shapes"].items()},
        cuda_graph=timed.cuda_graph,
        compute=distribution_from_ms(timed.samples_ms),
        inferences_per_s=len(timed.samples_ms) / timed.wall_s,
        items_per_inference=items.get("per_inference"),
        items_unit=items.get("unit", ""),
        peak_memory_bytes=timed.peak_memory_bytes,
        warmup_s=timed.warmup_s,
        stable=timed.stable,
        measured_s=timed.wall_s,
        gpu=timed.gpu,
        samples=compact_from_ms(timed.samples_ms),
        warnings=(*timed.warnings, *throttling_told(timed.gpu)),
    )
