"""Which GPUs of a machine a run may use: those that ``CUDA_VISIBLE_DEVICES`` leaves to it, as to any CUDA program.

Schedulers and runners that share a machine out give each job its GPUs so. NVML knows nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.machine.devices import GpuDevice

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(devices: Sequence[GpuDevice], asked: str | None) -> tuple[GpuDevice, ...]:
    """Those of ``devices`` that ``asked``, the variable's value, names, in its order; all where it is ``None``.

    It is read as CUDA does (CUDA programming guide, "CUDA environment variables"): numbers, or UUIDs that may be cut
    short, up to the first that names nothing. Numbers are NVML's, as ``nvidia-smi`` shows them, which are CUDA's too
    where the GPUs are of one kind or ``CUDA_DEVICE_ORDER`` is ``PCI_BUS_ID``; that of a GPU divided by MIG stands for
    all its slices.
    """
    if asked is None:
        return tuple(devices)
    chosen: dict[str, GpuDevice] = {}
    for word in map(str.strip, asked.split(",")):
        found = _named(word, devices)
        if not found:
            break
        chosen |= {device.uuid: device for device in found}
    return tuple(chosen.values())


def _named(word: str, devices: Sequence[GpuDevice]) -> tuple[GpuDevice, ...]:
    if word.isdecimal():
        return tuple(device for device in devices if device.index == int(word))
    found = tuple(device for device in devices if word.startswith(("GPU-", "MIG-")) and device.uuid.startswith(word))
    return found if len(found) == 1 else ()
