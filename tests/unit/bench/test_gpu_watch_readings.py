"""What NVML said while something was timed, and how that is summed up."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.bench.gpu_watch import GpuWatch, throttling_told
from pipeline.bench.measurement import GpuState

if TYPE_CHECKING:
    import pytest

POWER_CAP, IDLE, THERMAL = 0x4, 0x1, 0x20


class Nvml(ModuleType):
    """NVML with one GPU; ``reasons`` are those for its clocks, and a MIG slice does not tell load and power."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __init__(self, *, reasons: int = 0, mig: bool = False) -> None:
        super().__init__("pynvml")
        self.reasons = reasons
        self.mig = mig
        self.handle: Any = None

    def nvmlInit(self) -> None:
        """It is there."""

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.handle = uuid
        return uuid

    def nvmlDeviceGetUtilizationRates(self, _handle: str) -> Any:
        self._refuse()
        return SimpleNamespace(gpu=90)

    def nvmlDeviceGetPowerUsage(self, _handle: str) -> int:
        self._refuse()
        return 350_000

    def nvmlDeviceGetClockInfo(self, _handle: str, kind: int) -> int:
        return {self.NVML_CLOCK_SM: 1980, self.NVML_CLOCK_MEM: 3201}[kind]

    def nvmlDeviceGetTemperature(self, _handle: str, _sensor: int) -> int:
        return 41

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _handle: str) -> int:
        return self.reasons

    def _refuse(self) -> None:
        if self.mig:
            raise self.NVMLError("not supported")


def watched(monkeypatch: pytest.MonkeyPatch, nvml: Nvml) -> GpuWatch:
    """A watch that has read at least twice."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7e5ab340")
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    with GpuWatch() as watch:
        time.sleep(0.35)
    return watch


def test_load_power_clocks_and_temperature_are_those_of_the_gpu_that_the_process_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml = Nvml(reasons=IDLE)
    state = watched(monkeypatch, nvml).state
    assert nvml.handle == "GPU-7e5ab340"
    assert state is not None
    assert state.readings >= 2
    assert (state.utilization_percent, state.power_mean_w, state.power_max_w) == (90.0, 350.0, 350.0)
    assert (state.sm_clock_min_mhz, state.memory_clock_mean_mhz, state.temperature_max_c) == (1980.0, 3201.0, 41.0)
    assert throttling_told(state) == ()


def test_lowered_clocks_are_told_with_nvmls_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    state = watched(monkeypatch, Nvml(reasons=POWER_CAP | THERMAL | IDLE)).state
    assert state is not None
    assert state.throttled == ("sw-power-cap", "sw-thermal-slowdown")
    assert throttling_told(state) == (
        "the GPU lowered its clocks while it was timed: sw-power-cap, sw-thermal-slowdown",
    )


def test_what_a_mig_slice_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    state = watched(monkeypatch, Nvml(mig=True)).state
    assert state is not None
    assert (state.utilization_percent, state.power_mean_w, state.sm_clock_mean_mhz) == (None, None, 1980.0)


def test_only_what_was_read_while_something_was_timed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    begun_s = time.monotonic()
    watch = watched(monkeypatch, Nvml())
    assert watch.state is not None
    assert watch.state_between(begun_s, time.monotonic()) == watch.state
    first = watch.state_between(begun_s, begun_s + 0.2)
    assert first is None or first.readings < watch.state.readings
    assert watch.state_between(begun_s - 2, begun_s - 1) is None


def test_nothing_is_told_of_clocks_that_nobody_read() -> None:
    assert throttling_told(None) == ()
    assert throttling_told(GpuState(readings=3)) == ()
