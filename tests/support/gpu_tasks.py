"""Tasks for child processes that misuse a GPU."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

from pipeline.machine.cuda import call

if TYPE_CHECKING:
    from collections.abc import Callable
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


def confined(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Who the child is, and what comes of asking for the network and for another process, while it uses the GPU."""
    call("cudaFree", 0)
    pointer = call("cudaMalloc", 64 << 20)
    call("cudaMemset", pointer, 1, 64 << 20)
    call("cudaDeviceSynchronize")
    return {"user": os.getuid(), "network": _answer(_connect), "process": _answer(os.fork)}


def _connect() -> None:
    with socket.create_connection(("127.0.0.1", 9), timeout=1):
        pass


def _answer(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"
