"""The GPUs of this machine, as NVML names them. A machine without a driver has none, and that is no error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.targets import GPUS

if TYPE_CHECKING:
    from pipeline.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU, or one slice of one that is divided by MIG.

    ``name`` is the product as NVML gives it; ``driver`` is like ``580.159.04``; ``cuda`` is the newest CUDA that the
    driver serves, like ``13.0``.
    """

    uuid: str
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    driver: str
    cuda: str
    mig: bool = False


def installed_gpus() -> tuple[GpuDevice, ...]:
    """Every GPU that NVML shows to this process, MIG slices in place of the GPU that they divide."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return tuple(device for handle in handles for device in _devices(pynvml, handle))
    finally:
        pynvml.nvmlShutdown()


def gpus_for_target(target: Target, devices: tuple[GpuDevice, ...]) -> tuple[GpuDevice, ...]:
    """Those of ``devices`` that an engine for ``target`` is to be built on.

    A catalogue target wants its product, because TensorRT times tactics on the very GPU; a free target any GPU of its
    compute capability.
    """
    if target.gpu is None:
        return tuple(each for each in devices if each.compute_capability == target.compute_capability)
    products = {product.lower() for product in GPUS[target.gpu].products}
    return tuple(each for each in devices if _product(each).lower() in products)


def _product(device: GpuDevice) -> str:
    """The product's name without the profile that NVML appends for a MIG slice."""
    return device.name.split(" MIG ")[0]


def _devices(nvml: Any, handle: Any) -> list[GpuDevice]:
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    slices = _mig_slices(nvml, handle)
    return [
        GpuDevice(
            uuid=_text(nvml.nvmlDeviceGetUUID(each)),
            name=_text(nvml.nvmlDeviceGetName(each)),
            memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(each).total),
            compute_capability=(major, minor),
            driver=_text(nvml.nvmlSystemGetDriverVersion()),
            cuda=_cuda_version(nvml.nvmlSystemGetCudaDriverVersion_v2()),
            mig=bool(slices),
        )
        for each in slices or [handle]
    ]


def _mig_slices(nvml: Any, handle: Any) -> list[Any]:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return []
    count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if current else 0
    found = (_mig_slice(nvml, handle, index) for index in range(count))
    return [each for each in found if each is not None]


def _mig_slice(nvml: Any, handle: Any, index: int) -> Any:
    """The slice in place ``index``, ``None`` where that place is empty."""
    try:
        return nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
    except nvml.NVMLError_NotFound:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _cuda_version(number: int) -> str:
    """NVML counts 13.0 as 13000 (``nvml.h``)."""
    return f"{number // 1000}.{number % 1000 // 10}"
