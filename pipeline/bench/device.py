"""The CUDA device of this process. Runs in child processes, on device 0."""

from __future__ import annotations

from pipeline.cuda import call


def device_name() -> str:
    """The product's name, such as ``NVIDIA H200``."""
    name: str = call("cudaGetDeviceProperties", 0).name.split(b"\0")[0].decode()
    return name


def free_bytes() -> int:
    """Memory that no process holds."""
    free, _ = call("cudaMemGetInfo")
    return int(free)
