"""What ``doctor`` says about the GPUs, and about each that does not go with the installed TensorRT."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.doctor.finding import Finding
from pipeline.targets import TENSORRT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.machine.devices import GpuDevice

SUPPORT_MATRIX = "https://docs.nvidia.com/deeplearning/tensorrt/latest/getting-started/support-matrix.html"
_GIB = 1 << 30
_BUSY_SHARE = 0.1
"""A GPU with more of its memory taken than this has other work on it; a bare driver takes well below 1 GiB."""

_CUDA_OF_TENSORRT = (((10, 13, 2), 12, 13), ((8, 5), 11, 12))
"""First TensorRT version, lowest CUDA major version of any of its builds, that of NVIDIA's container; newest first.

Support matrices of 8.6.1 (CUDA 11.0 to 12.1) and 10.14.1 (12.6 to 13.0), and the notes of 10.13.2, which dropped 11.
"""
_DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580"}
"""CUDA major version -> lowest Linux driver, from NVIDIA's page on CUDA minor version compatibility."""
_FIRST_BLACKWELL, _BLACKWELL_SINCE = (10, 0), (10, 8)
_SUPPORTED_SINCE = {(10, 3): (10, 14), (12, 1): (10, 14)}
"""Release notes of 10.14: support for GB300, DGX B300 and DGX Spark."""
_FIRST_TURING, _VOLTA_UNTIL = (7, 5), (10, 5)
"""Release notes: 10.8 was the first with Blackwell, 10.5 the first without Volta."""


def gpu_findings(devices: tuple[GpuDevice, ...], runtimes: Mapping[str, str]) -> tuple[Finding, ...]:
    """What ``doctor`` says about the GPUs, and about each that does not go with the installed TensorRT.

    ``runtimes`` is runtime -> installed version. Only full TensorRT is held against the GPUs: TensorRT-RTX builds
    without one.
    """
    if not devices:
        text = "none: engines can be built ahead of time with TensorRT-RTX, and none can be run"
        return (Finding("note", "gpu", text),)
    described = tuple(Finding("ok", "gpu", _description(device)) for device in devices)
    faults = [fault for device in devices for fault in _mismatches(device, runtimes.get(TENSORRT))]
    return (*described, *(Finding(level, "gpu", text) for level, text in dict.fromkeys(faults)))


def _description(device: GpuDevice) -> str:
    major, minor = device.compute_capability
    free = "" if device.free_bytes is None else f", {device.free_bytes / _GIB:.1f} GiB free"
    return (
        f"{device.name}, compute capability {major}.{minor}, {device.memory_bytes / _GIB:.1f} GiB{free}, "
        f"driver {device.driver} (CUDA {device.cuda})"
    )


def _mismatches(device: GpuDevice, tensorrt: str | None) -> Iterator[tuple[str, str]]:
    """Level and text of everything about ``device`` that will not go well."""
    if device.free_bytes is not None and device.free_bytes < (1 - _BUSY_SHARE) * device.memory_bytes:
        yield "note", f"{device.name} has other work on it: engines built beside it may choose slower tactics"
    version = tuple(map(int, re.findall(r"\d+", tensorrt or "")[:3]))
    if not version:
        return
    capability = "{}.{}".format(*device.compute_capability)
    lowest, usual = next(((low, usual) for first, low, usual in _CUDA_OF_TENSORRT if version >= first), (11, 11))
    cuda = int(device.cuda.split(".")[0])
    if cuda < lowest:
        text = (
            f"driver {device.driver} serves CUDA {device.cuda}, and TensorRT {tensorrt} needs CUDA {lowest} or newer: "
            f"install driver {_DRIVERS[lowest]} or newer; see {SUPPORT_MATRIX}"
        )
        yield "problem", text
    elif cuda < usual:
        text = (
            f"driver {device.driver} serves CUDA {device.cuda}: use a build of TensorRT {tensorrt} for CUDA {cuda}, "
            f"or driver {_DRIVERS[usual]} or newer; see {SUPPORT_MATRIX}"
        )
        yield "note", text
    if device.compute_capability >= _FIRST_BLACKWELL and version < _BLACKWELL_SINCE:
        text = (
            f"TensorRT {tensorrt} does not know {device.name} (compute capability {capability}): "
            f"use 10.8 or newer; see {SUPPORT_MATRIX}"
        )
        yield "problem", text
    elif version < (since := _SUPPORTED_SINCE.get(device.compute_capability, version)):
        text = (
            f"TensorRT {tensorrt} came before {device.name} (compute capability {capability}): "
            f"use {'.'.join(map(str, since))} or newer, which supports it; see {SUPPORT_MATRIX}"
        )
        yield "note", text
    if device.compute_capability < _FIRST_TURING and version >= _VOLTA_UNTIL:
        text = (
            f"TensorRT {tensorrt} has dropped {device.name} (compute capability {capability}): "
            f"use a version before 10.5; see {SUPPORT_MATRIX}"
        )
        yield "problem", text
