"""Who else computes on the GPU that this process sees, as NVML knows it, other containers included."""

from __future__ import annotations

import os
from typing import Any

from pipeline.machine.visible_gpus import VARIABLE


def opened_gpu() -> tuple[Any, Any]:
    """NVML's handle of the GPU that this process sees, and the module; the handle is ``None`` where there is none."""
    try:
        import pynvml
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        visible = os.environ.get(VARIABLE, "").split(",")[0]
        if visible.startswith(("GPU-", "MIG-")):
            return pynvml.nvmlDeviceGetHandleByUUID(visible), pynvml
        return pynvml.nvmlDeviceGetHandleByIndex(int(visible) if visible.isdecimal() else 0), pynvml
    except pynvml.NVMLError:
        return None, pynvml


def other_processes_told() -> str:
    """Such as ``1 other process computes on it``; empty for none, and where NVML does not say.

    Asked before CUDA is first used: a process of its own is not told apart, since containers number theirs anew.
    """
    handle, nvml = opened_gpu()
    if handle is None:
        return ""
    try:
        others = len(nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except nvml.NVMLError:
        return ""
    if not others:
        return ""
    return f"{others} {'other processes compute' if others > 1 else 'other process computes'} on it"
