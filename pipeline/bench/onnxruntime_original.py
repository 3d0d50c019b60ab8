"""Times an ONNX model in ONNX Runtime, on the GPU where its CUDA provider works. Runs in a child process."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.bench.device import device_name
from pipeline.bench.steady import warmed_up
from pipeline.bench.timed import Timed
from pipeline.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pipeline.bench.gpu_watch import GpuWatch

_ERRORS_ONLY = 3
_LEAST = 20
_MS_PER_S = 1e3
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_ON_CPU = "ONNX Runtime ran on the CPU: its CUDA provider is not installed, or does not load"


def time_onnxruntime(request: Mapping[str, Any], inputs: Mapping[str, npt.NDArray[Any]], watch: GpuWatch) -> Timed:
    """Whole calls by the host's clock, with all optimizations of ONNX Runtime and as many threads as it takes.

    On the GPU inputs and outputs stay there, as the engine's do, so that no copy counts. Raises ``ModelError`` where it
    cannot run the model.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    providers = [each for each in (_CUDA, _CPU) if each in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(request["model"], providers=providers)
        # It falls back to the CPU by itself where CUDA's libraries do not load.
        on_gpu = session.get_providers()[0] == _CUDA
        call = bound_call(session, inputs, "cuda") if on_gpu else partial(session.run, None, dict(inputs))
        call()
    except Exception as error:  # ONNX Runtime's exceptions share no class but this one.
        raise ModelError(
            "ONNX Runtime cannot run the original model", why=str(error)[:500], fix="take it out of `originals`"
        ) from error

    def series(seconds: float, least: int) -> list[float]:
        samples: list[float] = []
        started = time.perf_counter()
        while len(samples) < least or time.perf_counter() - started < seconds:
            begun = time.perf_counter()
            call()
            samples.append((time.perf_counter() - begun) * _MS_PER_S)
        return samples

    warmup_s, stable = warmed_up(series, request["warmup_s"])
    begun = time.perf_counter()
    with watch:
        samples = series(request["duration_s"], _LEAST)
    return Timed(
        samples_ms=tuple(samples),
        wall_s=time.perf_counter() - begun,
        warmup_s=warmup_s,
        stable=stable,
        device=device_name() if on_gpu else "CPU",
        version=onnxruntime.__version__,
        precision="fp32",
        gpu=watch.state if on_gpu else None,
        warnings=() if on_gpu else (_ON_CPU,),
    )


def bound_call(session: Any, inputs: Mapping[str, npt.NDArray[Any]], device: str) -> partial[None]:
    """One inference whose inputs and outputs lie on ``device``, ``cuda`` or ``cpu``; it waits until the device is done.

    (ONNX Runtime documentation, "I/O Binding".)
    """
    import onnxruntime

    binding = session.io_binding()
    for name, values in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(values, device, 0))
    for output in session.get_outputs():
        binding.bind_output(output.name, device, 0)
    return partial(session.run_with_iobinding, binding)
