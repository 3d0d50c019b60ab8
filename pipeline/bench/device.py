"""The CUDA device of this process. Runs in child processes, on device 0."""

from __future__ import annotations

from typing import Any

from pipeline.machine.cuda import call


def device_name() -> str:
    """The product's name, such as ``NVIDIA H200``."""
    name: str = call("cudaGetDeviceProperties", 0).name.split(b"\0")[0].decode()
    return name


def free_bytes() -> int:
    """Memory that no process holds."""
    free, _ = call("cudaMemGetInfo")
    return int(free)


def context_bytes(engine: Any) -> int:
    """What an execution context of TensorRT's ``engine`` takes.

    ``device_memory_size`` in 8.6 and 10.0, ``device_memory_size_v2`` in later ones; 11.x has dropped the former.
    """
    newer = getattr(engine, "device_memory_size_v2", None)
    return int(engine.device_memory_size if newer is None else newer)
