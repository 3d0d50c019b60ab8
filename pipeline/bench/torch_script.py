"""Times a PyTorch model in the interpreter that has torch. Run as a file: it imports nothing of this project.

Reads one JSON object from standard input and prints one as the last line of standard output. On a GPU each dtype is
timed twice: eagerly, as most models are served first, and replayed from a CUDA graph, which takes Python's launches out
of the figures, so that what remains is a comparison of kernels.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections import deque
from typing import Any

_WINDOWS, _SPREAD = 5, 0.01
_LEAST = 20
_IN_FLIGHT = 4


def main() -> None:
    """Time the model in each of the dtypes asked for."""
    import numpy as np
    import torch

    request = json.load(sys.stdin)
    sys.path.insert(0, request["folder"])
    module, function = request["model"].split(":")
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda:0" if on_gpu else "cpu")
    model = getattr(importlib.import_module(module), function)().eval().to(device)
    arrays = [torch.from_numpy(np.load(path)).to(device) for path in request["arrays"]]
    found = []
    with torch.inference_mode():
        for dtype in request["dtypes"]:
            kind = getattr(torch, dtype)
            inputs = [array.to(kind) if array.is_floating_point() else array for array in arrays]
            call = _call(model.to(kind), inputs)
            found.append({"dtype": dtype, "cuda_graph": False, **_timed(torch, call, request)})
            replay = _captured(torch, call) if on_gpu else None
            if replay is not None:
                found.append({"dtype": dtype, "cuda_graph": True, **_timed(torch, replay, request)})
    name = torch.cuda.get_device_name(device) if on_gpu else "CPU"
    why_cpu = None if on_gpu else _why_no_gpu(torch)
    print(json.dumps({"device": name, "version": torch.__version__, "why_cpu": why_cpu, "measurements": found}))


def _why_no_gpu(torch: Any) -> str:
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error)
    return "torch.cuda.is_available() is false"


def _call(model: Any, inputs: list[Any]) -> Any:
    return lambda: model(*inputs)


def _captured(torch: Any, call: Any) -> Any:
    """What replays ``call`` from a CUDA graph; ``None`` for a model that cannot be captured, as many cannot."""
    try:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
    except RuntimeError as error:
        print(f"no CUDA graph: {error}", file=sys.stderr)
        return None
    return graph.replay


def _timed(torch: Any, call: Any, request: dict[str, Any]) -> dict[str, Any]:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    series = _gpu_series if on_gpu else _cpu_series
    medians: list[float] = []
    started = time.perf_counter()
    while True:
        medians.append(statistics.median(series(torch, call, 0.2, 3)))
        warmup_s = time.perf_counter() - started
        stable = _steady(medians)
        if (warmup_s >= request["warmup_s"] and stable) or warmup_s > max(15.0, 3 * request["warmup_s"]):
            break
    begun_s = time.monotonic()
    samples = series(torch, call, request["duration_s"], _LEAST)
    ended_s = time.monotonic()
    return {
        "samples_ms": samples,
        "wall_s": ended_s - begun_s,
        "measured_between_s": [begun_s, ended_s],
        "warmup_s": warmup_s,
        "stable": stable,
        "peak_memory_bytes": int(torch.cuda.max_memory_reserved()) if on_gpu else None,
    }


def _gpu_series(torch: Any, call: Any, seconds: float, least: int) -> list[float]:
    """Durations in ms by events around each call, several calls ahead, as the engine is timed."""
    samples: list[float] = []
    waiting: deque[tuple[Any, Any]] = deque()
    started = time.perf_counter()
    number = 0
    while number < least or time.perf_counter() - started < seconds:
        if len(waiting) == _IN_FLIGHT:
            samples.append(_elapsed_ms(*waiting.popleft()))
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call()
        last.record()
        waiting.append((first, last))
        number += 1
    samples.extend(_elapsed_ms(*pair) for pair in waiting)
    return samples


def _elapsed_ms(first: Any, last: Any) -> float:
    last.synchronize()
    return float(first.elapsed_time(last))


def _cpu_series(torch: Any, call: Any, seconds: float, least: int) -> list[float]:  # noqa: ARG001
    """Durations in ms by the host's clock."""
    samples: list[float] = []
    started = time.perf_counter()
    while len(samples) < least or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        call()
        samples.append((time.perf_counter() - begun) * 1e3)
    return samples


def _steady(medians: list[float]) -> bool:
    latest = medians[-_WINDOWS:]
    middle = statistics.median(latest)
    return len(latest) == _WINDOWS and all(abs(value - middle) <= _SPREAD * middle for value in latest)


if __name__ == "__main__":
    main()
