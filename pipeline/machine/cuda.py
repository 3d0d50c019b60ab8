"""CUDA calls that say what failed. Runs in child processes: it loads ``cuda.bindings``."""

from __future__ import annotations

from typing import Any

from pipeline.errors import BuildError, DeviceError


def require_gpu() -> None:
    """Raise ``DeviceError`` where this process sees no GPU."""
    try:
        from cuda.bindings import runtime as cudart
    except ImportError as error:
        raise DeviceError(
            "the package cuda-bindings is not installed", why=str(error), fix="use the container image"
        ) from error
    status, count = cudart.cudaGetDeviceCount()
    if status != cudart.cudaError_t.cudaSuccess or not count:
        raise DeviceError(
            "no GPU is visible here",
            why=str(status.name),
            fix="check `nvidia-smi`, and that the container was started with its GPUs",
        )


def start_gpu() -> None:
    """Make this process's context on device 0, which takes CUDA some tenths of a second. Raises ``DeviceError``."""
    require_gpu()
    call("cudaFree", 0)


def call(name: str, *arguments: Any) -> Any:
    """Call the CUDA runtime's function ``name``; returns its value, a tuple of several, or ``None``.

    Raises ``BuildError`` with CUDA's own name and text for the error, and the advice that helps for memory.
    """
    from cuda.bindings import runtime as cudart

    status, *values = getattr(cudart, name)(*arguments)
    if status != cudart.cudaError_t.cudaSuccess:
        _, text = cudart.cudaGetErrorString(status)
        full = status == cudart.cudaError_t.cudaErrorMemoryAllocation
        raise BuildError(
            f"CUDA failed in {name}: {status.name}",
            why=text.decode(),
            fix="use a smaller largest profile or batch, or free the GPU" if full else "the log has the details",
        )
    return values[0] if len(values) == 1 else tuple(values) or None


def free_memory_text() -> str:
    """Such as ``0.3 of 139.8 GiB of GPU memory are free``, whatever else fails."""
    from cuda.bindings import runtime as cudart

    status, free, total = cudart.cudaMemGetInfo()
    if status != cudart.cudaError_t.cudaSuccess:
        return f"CUDA does not tell how much GPU memory is free: {status.name}"
    return f"{free / (1 << 30):.1f} of {total / (1 << 30):.1f} GiB of GPU memory are free"
