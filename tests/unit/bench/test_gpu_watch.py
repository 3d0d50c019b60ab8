from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from pipeline.bench.gpu_watch import GpuWatch
from pipeline.errors import DeviceError


class Nvml(ModuleType):
    """NVML with one GPU, on which ``others`` processes compute."""

    NVMLError = RuntimeError

    def __init__(self, others: int) -> None:
        super().__init__("pynvml")
        self.others = others

    def nvmlInit(self) -> None:
        """It is there."""

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"GPU {index}"

    def nvmlDeviceGetComputeRunningProcesses(self, _handle: str) -> list[Any]:
        return [object()] * self.others


@pytest.fixture(autouse=True)
def _all_gpus_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("others", "told"), [(1, "1 other process computes on it"), (2, "2 other processes compute on it")]
)
def test_F30_a_gpu_that_others_use_is_refused(monkeypatch: pytest.MonkeyPatch, others: int, told: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(others))
    with pytest.raises(DeviceError, match=told) as caught:
        GpuWatch().refuse_shared_gpu()
    assert "GPU of its own" in caught.value.fix


@pytest.mark.parametrize("module", [None, Nvml(0)], ids=["no NVML", "nobody else"])
def test_a_gpu_of_ones_own_is_taken(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    GpuWatch().refuse_shared_gpu()
