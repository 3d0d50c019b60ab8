"""Reads NVML beside a benchmark: load, power, clocks, and why clocks were lowered. Runs in a child process."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.bench.measurement import GpuState
from pipeline.errors import DeviceError
from pipeline.machine.shared_gpu import opened_gpu, other_processes_told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_PERIOD_S = 0.1
"""NVML itself averages load over a sixth of a second or more (NVML API, ``nvmlUtilization_t``)."""
_THROTTLED = {
    0x4: "sw-power-cap",
    0x8: "hw-slowdown",
    0x10: "sync-boost",
    0x20: "sw-thermal-slowdown",
    0x40: "hw-thermal-slowdown",
    0x80: "hw-power-brake",
}
"""NVML's ``nvmlClocksEventReason`` bits that make a figure slower than the GPU could be; idle and set clocks do not."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What NVML said at ``time_s`` of ``time.monotonic``, which all processes of a machine share."""

    time_s: float
    reasons: int
    figures: dict[str, float]


class GpuWatch:
    """Reads from ``__enter__`` to ``__exit__``; ``state`` sums it up, and is ``None`` where NVML says nothing."""

    def __init__(self) -> None:
        self._handle, self._nvml = opened_gpu()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read_until_stopped, daemon=True)
        self._readings: list[_Reading] = []

    def refuse_shared_gpu(self) -> None:
        """Raise ``DeviceError`` where another process computes on this GPU. Call before CUDA is first used."""
        others = other_processes_told()
        if others:
            raise DeviceError(
                f"the GPU is shared: {others}",
                why="what is timed beside other work is noise",
                fix="give this runner a GPU of its own, or stop what else uses it (`nvidia-smi` lists it)",
            )

    def __enter__(self) -> GpuWatch:
        if self._handle is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._handle is not None:
            self._thread.join()

    @property
    def state(self) -> GpuState | None:
        """Everything that was read."""
        return _summary(self._readings)

    def state_between(self, begun_s: float, ended_s: float) -> GpuState | None:
        """What was read from ``begun_s`` to ``ended_s``, times of ``time.monotonic`` in any process of this machine."""
        return _summary([reading for reading in self._readings if begun_s <= reading.time_s <= ended_s])

    def _read_until_stopped(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            self._readings.append(self._reading())

    def _reading(self) -> _Reading:
        nvml, handle = self._nvml, self._handle
        asked: dict[str, Any] = {
            "utilization": self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            "power": self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            "sm": self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            "memory": self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
            "temperature": self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        }
        return _Reading(
            time_s=time.monotonic(),
            reasons=self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0,
            figures={name: float(value) for name, value in asked.items() if value is not None},
        )

    def _ask(self, question: Callable[[], Any]) -> Any:
        """The answer; ``None`` for what this GPU does not tell, such as the power of a MIG slice."""
        try:
            return question()
        except self._nvml.NVMLError:
            return None


def throttling_told(state: GpuState | None) -> tuple[str, ...]:
    """The warning about clocks that were lowered while something was timed; none where they were not."""
    if state is None or not state.throttled:
        return ()
    return (f"the GPU lowered its clocks while it was timed: {', '.join(state.throttled)}",)


def _summary(readings: Sequence[_Reading]) -> GpuState | None:
    if not readings:
        return None

    def read(name: str) -> list[float]:
        return [reading.figures[name] for reading in readings if name in reading.figures]

    return GpuState(
        readings=len(readings),
        utilization_percent=_over(statistics.fmean, read("utilization")),
        power_mean_w=_over(statistics.fmean, read("power")),
        power_max_w=_over(max, read("power")),
        sm_clock_min_mhz=_over(min, read("sm")),
        sm_clock_mean_mhz=_over(statistics.fmean, read("sm")),
        memory_clock_mean_mhz=_over(statistics.fmean, read("memory")),
        temperature_max_c=_over(max, read("temperature")),
        throttled=tuple(word for bit, word in _THROTTLED.items() if any(each.reasons & bit for each in readings)),
    )


def _over(summary: Callable[[list[float]], float], values: list[float]) -> float | None:
    return round(float(summary(values)), 1) if values else None
