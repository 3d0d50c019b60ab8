"""Tasks for child processes that misuse a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cuda import call

if TYPE_CHECKING:
    from pathlib import Path

_TRAP = b"""
.version 7.0
.target sm_70
.address_size 64
.visible .entry trap_now() { trap; }
\0"""


def trap(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Launch a kernel that traps: the process's context is beyond repair after it."""
    from cuda.bindings import driver

    call("cudaFree", 0)
    _, module = driver.cuModuleLoadData(_TRAP)
    _, function = driver.cuModuleGetFunction(module, b"trap_now")
    driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)
    call("cudaDeviceSynchronize")
    return {}


def well(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Use the GPU as it should be used."""
    call("cudaFree", 0)
    call("cudaDeviceSynchronize")
    return {"devices": int(call("cudaGetDeviceCount"))}
