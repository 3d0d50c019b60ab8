"""How long each layer of a loaded engine takes, by TensorRT's own profiler. Runs in a child process.

The profiler puts timers between the layers, which keeps them from overlapping: the times say where an inference
spends its time, and their sum is more than it takes.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.machine.cuda import call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pipeline.engine.runner import Engine

_WARM_UP = 5
_ITERATIONS = 50
_LONGEST_S = 10.0
_SEED = 0


def timed_layers(
    engine: Engine, shapes: Mapping[str, tuple[int, ...]], names: Sequence[str]
) -> tuple[list[float | None], int]:
    """The median time in milliseconds of each of the layers ``names``, and the number of iterations.

    Inputs are random, from a fixed seed: normal for floating point, 0 or 1 for all others, which are valid indices
    and masks. ``None`` for layers that the profiler does not report. Raises ``ModelError``, ``BuildError``.
    """
    generator = np.random.default_rng(_SEED)
    engine.bind(shapes)
    for name, shape in shapes.items():
        engine.copy_in(name, _random(generator, shape, engine.dtype(name)))
    for _ in range(_WARM_UP):
        _infer(engine)
    profiler = _profiler(engine.trt)
    engine.context.profiler = profiler
    deadline = time.monotonic() + _LONGEST_S
    rounds: list[list[tuple[str, float]]] = []
    while len(rounds) < _ITERATIONS and (not rounds or time.monotonic() < deadline):
        _infer(engine)
        rounds.append(profiler.taken())
    return times_of_layers(names, rounds), len(rounds)


def times_of_layers(names: Sequence[str], rounds: Sequence[Sequence[tuple[str, float]]]) -> list[float | None]:
    """The median over ``rounds`` of each layer's time.

    A name that several layers bear is reported several times a round, in the order of the layers; where it is not,
    they share it evenly.
    """
    reports: dict[str, list[list[float]]] = {}
    for reported in rounds:
        once: dict[str, list[float]] = {}
        for name, time_ms in reported:
            once.setdefault(name, []).append(time_ms)
        for name, times in once.items():
            reports.setdefault(name, []).append(times)
    bearers = {name: names.count(name) for name in names}
    seen: dict[str, int] = {}
    result: list[float | None] = []
    for name in names:
        place = seen[name] = seen.get(name, -1) + 1
        result.append(median(_own(times, place, bearers[name]) for times in reports[name]) if name in reports else None)
    return result


def _own(times: list[float], place: int, bearers: int) -> float:
    return times[place] if len(times) == bearers else sum(times) / bearers


def _infer(engine: Engine) -> None:
    engine.enqueue()
    call("cudaStreamSynchronize", engine.stream)


def _profiler(trt: Any) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]
        """Keeps what is reported until it is taken."""

        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self._reported: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self._reported.append((layer_name, ms))

        def taken(self) -> list[tuple[str, float]]:
            reported, self._reported = self._reported, []
            return reported

    return Profiler()


def _random(generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)
