"""What a serialized engine says of itself in its first bytes, readable without any TensorRT.

Lets a machine without a GPU reject a plan that was cut short, comes from another release, or was built for another
GPU. Layout (little-endian): tag at 0 (``ftrt`` full TensorRT 9.1+, ``vtrt`` TensorRT-RTX), version at 24..27 as four
bytes; TensorRT-RTX has the file's length as u64 at 16 and a bit per compute capability as u32 at 32. The tag and
version are what NVIDIA's ``trtexec --getPlanVersionOnly`` reads; the rest was found in plans of TensorRT-RTX 1.7.1.
It is no proof of anything: who wants to be sure of a plan's bytes compares their digest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAN_HEADER_BYTES = 64

_RUNTIMES: Mapping[str, str] = MappingProxyType({"ftrt": "tensorrt", "vtrt": "tensorrt-rtx"})
_CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
"""The capabilities of TensorRT-RTX's bit mask, from bit 0; bit 6 stands for all newer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHeader:
    """``size_bytes`` and ``capability_mask`` are ``None`` for full TensorRT, whose header does not hold them."""

    magic: str
    version: str
    size_bytes: int | None
    capability_mask: int | None

    @property
    def compute_capabilities(self) -> tuple[tuple[int, int], ...]:
        """The capabilities that the mask names; empty for full TensorRT."""
        mask = self.capability_mask or 0
        return tuple(pair for bit, pair in enumerate(_CAPABILITIES) if mask >> bit & 1)


def read_plan_header(data: bytes) -> PlanHeader:
    """The header in ``data``, a plan's first ``PLAN_HEADER_BYTES`` bytes or more.

    Raises ``ValueError`` for fewer bytes and for anything that is not a TensorRT plan.
    """
    if len(data) < PLAN_HEADER_BYTES:
        raise ValueError(f"a plan has at least {PLAN_HEADER_BYTES} bytes, this has {len(data)}")
    magic = data[:4].decode("latin-1")
    if magic not in _RUNTIMES or struct.unpack_from("<I", data, 4) != (0,):
        raise ValueError(f"not a TensorRT plan: it begins with {data[:8].hex(' ')}")
    is_rtx = _RUNTIMES[magic] == "tensorrt-rtx"
    return PlanHeader(
        magic=magic,
        version=".".join(map(str, data[24:28])),
        size_bytes=struct.unpack_from("<Q", data, 16)[0] if is_rtx else None,
        capability_mask=struct.unpack_from("<I", data, 32)[0] if is_rtx else None,
    )


def header_faults(
    header: PlanHeader, *, size_bytes: int, runtime: str, version: str, compute_capability: tuple[int, int]
) -> tuple[str, ...]:
    """Where a plan of ``size_bytes`` bytes is not one of ``runtime`` ``version`` for ``compute_capability``."""
    found = _RUNTIMES.get(header.magic, header.magic)
    if found != runtime:
        return (f"it is a plan of {found}, not of {runtime}",)
    faults = []
    if header.size_bytes is not None and header.size_bytes != size_bytes:
        faults.append(f"its header says {header.size_bytes} bytes, the file has {size_bytes}")
    asked = version.split(".")[:4]  # The Python module of TensorRT 8.6 says 8.6.0 of a library that is 8.6.0.12.
    if header.version.split(".")[: len(asked)] != asked:
        faults.append(f"it was built by {runtime} {header.version}, not {version}")
    if header.capability_mask is not None and compute_capability not in header.compute_capabilities:
        names = ", ".join(f"{major}.{minor}" for major, minor in header.compute_capabilities) or "none"
        wanted = ".".join(map(str, compute_capability))
        faults.append(f"it was built for compute capability {names}, not {wanted}")
    return tuple(faults)
