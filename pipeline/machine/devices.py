"""The GPUs of this machine, as NVML names them. A machine without a driver has none, and that is no error."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.machine.visible_gpus import VARIABLE, visible_gpus
from pipeline.targets import GPUS, NAMED_ALIKE

if TYPE_CHECKING:
    from pipeline.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU, or one slice of one that is divided by MIG.

    ``name`` is the product as NVML gives it; ``driver`` is like ``580.159.04``; ``cuda`` is the newest CUDA that the
    driver serves, like ``13.0``; ``index`` is NVML's, for a slice that of the GPU that it belongs to. ``free_bytes``
    is what no process held when it was asked, ``None`` where that is not told. ``integrated`` GPUs share the machine's
    memory, such as a Jetson's.
    """

    uuid: str
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    driver: str
    cuda: str
    mig: bool = False
    index: int = 0
    free_bytes: int | None = None
    integrated: bool = False

    @property
    def product(self) -> str:
        """The product's name without the profile that NVML appends for a MIG slice."""
        return self.name.split(" MIG ")[0]

    @property
    def cuda_name(self) -> str:
        """What ``CUDA_VISIBLE_DEVICES`` is to say of it: its UUID; the number of an integrated one.

        A Jetson's CUDA knows another UUID than its NVML (NVIDIA/nvbandwidth#55), if that has one.
        """
        return str(self.index) if self.integrated else self.uuid

    def name_for(self, target: Target) -> str:
        """The name that an engine for ``target`` is kept under, with the target's where boards are named alike."""
        return f"{self.name} as {target.gpu}" if target.gpu and self.name in NAMED_ALIKE else self.name


def installed_gpus() -> tuple[GpuDevice, ...]:
    """Every GPU that this process may use, MIG slices in place of the GPU that they divide.

    These are the ones that NVML shows and ``CUDA_VISIBLE_DEVICES`` does not take away. A GPU that NVML cannot describe,
    such as one that fell off its bus, is left out.
    """
    return visible_gpus(_every_gpu(), os.environ.get(VARIABLE))


def _every_gpu() -> tuple[GpuDevice, ...]:
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        count = int(pynvml.nvmlDeviceGetCount())
        return tuple(device for index in range(count) for device in _devices(pynvml, index))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def gpus_for_target(target: Target, devices: tuple[GpuDevice, ...]) -> tuple[GpuDevice, ...]:
    """Those of ``devices`` that an engine for ``target`` is to be built on.

    A catalogue target wants one of its products, because TensorRT times tactics on the very GPU; a free target any GPU
    of its compute capability. A MIG slice is of its GPU's product. All are of one product, and slices of one size, that
    of the first that fits: an engine's key names the product, and tells nothing of which of several it was built on.
    """
    if target.gpu is None:
        fitting = [each for each in devices if each.compute_capability == target.compute_capability]
    else:
        products = {product.lower() for product in GPUS[target.gpu].products}
        fitting = [each for each in devices if each.product.lower() in products]
    return tuple(each for each in fitting if each.name == fitting[0].name)


def _devices(nvml: Any, index: int) -> tuple[GpuDevice, ...]:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        slices = _mig_slices(nvml, handle)
        return tuple(
            _device(nvml, each, index, (int(major), int(minor)), mig=slices is not None)
            for each in (slices if slices is not None else [handle])
        )
    except nvml.NVMLError:
        return ()


def _device(nvml: Any, handle: Any, index: int, compute_capability: tuple[int, int], *, mig: bool) -> GpuDevice:
    total_bytes, free_bytes = _memory(nvml, handle)
    return GpuDevice(
        uuid=_uuid(nvml, handle, index),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        compute_capability=compute_capability,
        memory_bytes=total_bytes,
        driver=_text(nvml.nvmlSystemGetDriverVersion()),
        cuda=_cuda_version(nvml.nvmlSystemGetCudaDriverVersion_v2()),
        mig=mig,
        index=index,
        free_bytes=free_bytes,
        integrated=free_bytes is None and not mig,
    )


def _uuid(nvml: Any, handle: Any, index: int) -> str:
    """A Jetson's need not have one; it has one GPU."""
    try:
        return _text(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
        return f"GPU-number-{index}"


def _memory(nvml: Any, handle: Any) -> tuple[int, int | None]:
    """Total and free bytes; for a GPU that shares the machine's memory (GB10, Thor), which does not answer, its."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    return int(memory.total), int(memory.free)


def _mig_slices(nvml: Any, handle: Any) -> list[Any] | None:
    """The slices of a GPU in MIG mode, which runs nothing outside of them; ``None`` for any other GPU."""
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return None
    if not current:
        return None
    found = (_mig_slice(nvml, handle, index) for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)))
    return [each for each in found if each is not None]


def _mig_slice(nvml: Any, handle: Any, index: int) -> Any:
    """The slice in place ``index``, ``None`` where that place is empty."""
    try:
        return nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
    except nvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _cuda_version(number: int) -> str:
    """NVML counts 13.0 as 13000 (``nvml.h``)."""
    return f"{number // 1000}.{number % 1000 // 10}"
