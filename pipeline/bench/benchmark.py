"""Times an engine as it would serve: warmed up, on its own GPU, alone. Runs in a child process, on device 0."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.bench.device import context_bytes, device_name, free_bytes
from pipeline.bench.gpu_watch import GpuWatch, throttling_told
from pipeline.bench.inputs import inputs_from_request
from pipeline.bench.lane import Lane
from pipeline.bench.measurement import ENGINE, Measurement, Streams, measurement_to_json
from pipeline.bench.samples import compact_from_ms, distribution_from_ms
from pipeline.bench.steady import warmed_up
from pipeline.bench.timing import kept_busy, one_by_one, side_by_side
from pipeline.engine.runner import Engine
from pipeline.errors import BuildError
from pipeline.machine.cuda import call, require_gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

_FIRST_SHARED_PROFILES = 10
_LONGEST_BRIEF_WARMUP_S = 3.0
"""Where many processes time two engines in turn, one that does not settle is one of many."""
_UNSTEADY = "its speed did not settle while it warmed up: other work, or a GPU whose clocks still move"


def benchmark_engine(request: dict[str, Any], folder: Path) -> dict[str, Any]:  # noqa: ARG001
    """Task ``benchmark``: time ``request["engine"]``; returns a ``Measurement`` as JSON.

    Request: ``engine``, ``plugins`` (paths), ``precision``, ``inputs`` (facts as JSON), ``shapes`` (of every input),
    ``warmup_s``, ``duration_s``, ``streams``, ``cuda_graph``, ``items`` (``per_inference`` and ``unit``, or null),
    ``data`` (or null), ``seed``, and ``compute_only`` where nothing but the GPU's own time is asked for. Raises
    ``DeviceError`` where the GPU is shared or missing, and what ``Engine`` raises.
    """
    watch = GpuWatch()
    watch.refuse_shared_gpu()
    require_gpu()
    inputs = inputs_from_request(request)
    _spin_while_waiting()
    device, free_before = device_name(), free_bytes()
    engine = Engine(Path(request["engine"]), plugins=request["plugins"])
    of_context = context_bytes(engine.engine)
    of_engine = max(free_before - free_bytes() - of_context, 0)
    inputs = {name: inputs[name] for name in engine.input_names}
    lane = Lane(engine, inputs)
    launch, cuda_graph, warnings = _launcher(lane, cuda_graph=request["cuda_graph"])
    seconds, compute_only = float(request["duration_s"]), bool(request.get("compute_only"))
    warmup_s, stable = warmed_up(
        lambda window_s, least: kept_busy(launch, lane.stream, window_s, least=least).compute_ms,
        float(request["warmup_s"]),
        **({"longest_s": _LONGEST_BRIEF_WARMUP_S} if compute_only else {}),
    )
    if not stable:
        warnings.append(_UNSTEADY)
    with watch:
        busy = kept_busy(launch, lane.stream, seconds)
    whole = not compute_only
    plain = kept_busy(lane.launcher(cuda_graph=False), lane.stream, seconds / 2) if cuda_graph and whole else None
    apart = one_by_one(lane, launch, seconds / 2) if whole else None
    streams = _streams(request, lane, inputs, cuda_graph=cuda_graph)
    state = watch.state
    warnings.extend(throttling_told(state))
    items = request["items"] or {}
    return measurement_to_json(
        Measurement(
            subject=ENGINE,
            device=device,
            version=engine.trt.__version__,
            precision=request["precision"],
            shapes={name: tuple(array.shape) for name, array in inputs.items()},
            cuda_graph=cuda_graph,
            compute=distribution_from_ms(busy.compute_ms),
            inferences_per_s=busy.per_s,
            without_graph=distribution_from_ms(plain.compute_ms) if plain else None,
            latency=distribution_from_ms(apart.latency_ms) if apart else None,
            copy_in=distribution_from_ms(apart.copy_in_ms) if apart else None,
            copy_out=distribution_from_ms(apart.copy_out_ms) if apart else None,
            enqueue=distribution_from_ms(apart.enqueue_ms) if apart else None,
            streams=streams,
            items_per_inference=items.get("per_inference"),
            items_unit=items.get("unit", ""),
            engine_memory_bytes=of_engine,
            context_memory_bytes=of_context,
            peak_memory_bytes=max(free_before - free_bytes(), 0),
            warmup_s=warmup_s,
            stable=stable,
            measured_s=busy.wall_s,
            gpu=state,
            samples=compact_from_ms(busy.compute_ms),
            warnings=tuple(warnings),
        )
    )


def _launcher(lane: Lane, *, cuda_graph: bool) -> tuple[Callable[[], None], bool, list[str]]:
    if not cuda_graph:
        return lane.launcher(cuda_graph=False), False, []
    try:
        return lane.launcher(cuda_graph=True), True, []
    except BuildError as error:
        return lane.launcher(cuda_graph=False), False, [f"{error.what} ({error.why}); timed without one"]


def _streams(
    request: Mapping[str, Any], first: Lane, inputs: Mapping[str, npt.NDArray[Any]], *, cuda_graph: bool
) -> Streams | None:
    """Throughput of several streams; ``None`` where one was asked for."""
    if request["streams"] < 2:
        return None
    lanes = [first, *(_another(Path(request["engine"]), first, inputs) for _ in range(request["streams"] - 1))]
    pairs = [(lane, lane.launcher(cuda_graph=cuda_graph)) for lane in lanes]
    side_by_side(pairs, float(request["warmup_s"]) / 2)
    return Streams(streams=len(lanes), inferences_per_s=side_by_side(pairs, float(request["duration_s"])))


def _another(path: Path, first: Lane, inputs: Mapping[str, npt.NDArray[Any]]) -> Lane:
    """One more context of the loaded engine, or of a copy of it before TensorRT 10, where a profile serves one alone.

    (Release notes of 10.0, profile sharing. 8.6.0 was seen to crash where a second context asks for the profile.)
    """
    shared = int(first.engine.trt.__version__.split(".")[0]) >= _FIRST_SHARED_PROFILES
    return Lane(Engine(path, beside=first.engine if shared else None), inputs)


def _spin_while_waiting() -> None:
    """Let the host spin while it waits for the GPU: waking up takes longer than many an inference."""
    from cuda.bindings import runtime as cudart

    call("cudaSetDeviceFlags", cudart.cudaDeviceScheduleSpin)
    call("cudaFree", 0)
