"""Times a PyTorch model in the interpreter that has torch. Run as a file: it imports nothing of this project.

Reads one JSON object from standard input and prints one as the last line of standard output.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from typing import Any

_WINDOWS, _SPREAD = 5, 0.01
_LEAST = 20


def main() -> None:
    """Time the model in each of the dtypes asked for."""
    import numpy as np
    import torch

    request = json.load(sys.stdin)
    sys.path.insert(0, request["folder"])
    module, function = request["model"].split(":")
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    model = getattr(importlib.import_module(module), function)().eval().to(device)
    arrays = [torch.from_numpy(np.load(path)).to(device) for path in request["arrays"]]
    found = [_timed(torch, model.to(getattr(torch, dtype)), arrays, dtype, request) for dtype in request["dtypes"]]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(json.dumps({"device": name, "version": torch.__version__, "measurements": found}))


def _timed(torch: Any, model: Any, arrays: list[Any], dtype: str, request: dict[str, Any]) -> dict[str, Any]:
    kind = getattr(torch, dtype)
    inputs = [array.to(kind) if array.is_floating_point() else array for array in arrays]
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        medians: list[float] = []
        started = time.perf_counter()
        while True:
            medians.append(statistics.median(_series(torch, model, inputs, 0.2, 3, on_gpu=on_gpu)))
            warm_s = time.perf_counter() - started
            stable = _steady(medians)
            if (warm_s >= request["warmup_s"] and stable) or warm_s > max(15.0, 3 * request["warmup_s"]):
                break
        begun = time.perf_counter()
        samples = _series(torch, model, inputs, request["duration_s"], _LEAST, on_gpu=on_gpu)
        wall_s = time.perf_counter() - begun
    peak = int(torch.cuda.max_memory_reserved()) if on_gpu else None
    return {
        "dtype": dtype,
        "samples_ms": samples,
        "wall_s": wall_s,
        "warmup_s": warm_s,
        "stable": stable,
        "peak_memory_bytes": peak,
    }


def _series(torch: Any, model: Any, inputs: list[Any], seconds: float, least: int, *, on_gpu: bool) -> list[float]:
    """Durations in ms, one after the other; by events on a GPU, so that the host's wait is not counted."""
    samples: list[float] = []
    started = time.perf_counter()
    while len(samples) < least or time.perf_counter() - started < seconds:
        if on_gpu:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            model(*inputs)
            last.record()
            last.synchronize()
            samples.append(first.elapsed_time(last))
        else:
            begun = time.perf_counter()
            model(*inputs)
            samples.append((time.perf_counter() - begun) * 1e3)
    return samples


def _steady(medians: list[float]) -> bool:
    latest = medians[-_WINDOWS:]
    middle = statistics.median(latest)
    return len(latest) == _WINDOWS and all(abs(value - middle) <= _SPREAD * middle for value in latest)


if __name__ == "__main__":
    main()
