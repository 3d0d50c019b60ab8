"""GPU targets: what a manifest may name, and what each name means."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.near import near_spelling

if TYPE_CHECKING:
    from collections.abc import Mapping

TENSORRT = "tensorrt"
TENSORRT_RTX = "tensorrt-rtx"


@dataclass(frozen=True, slots=True)
class Target:
    """What an engine is built for.

    ``id`` is the middle part of a job id: the manifest's ``name``, else the catalogue name, else ``sm_89``.
    ``gpu`` is the catalogue name, ``None`` for a free target. ``runtime`` is ``tensorrt`` or ``tensorrt-rtx``.
    """

    id: str
    runtime: str
    compute_capability: tuple[int, int]
    gpu: str | None = None

    @property
    def sm(self) -> str:
        """The capability as the compiler writes it: ``sm_89``."""
        major, minor = self.compute_capability
        return f"sm_{major}{minor}"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A kind of GPU.

    ``products`` are the names that NVML gives for it; a word such as ``h100`` stands for any of several.
    """

    name: str
    compute_capability: tuple[int, int]
    products: tuple[str, ...]


class UnknownGpuError(ValueError):
    """The catalogue has no GPU of that name; the text ends with the name most like it, if any is."""

    def __init__(self, name: str) -> None:
        near = near_spelling(name, GPUS)
        super().__init__(f"no GPU named {name!r} in the catalogue{f'; {near}' if near else ''}")


_ORIN = ("Orin (nvgpu)", "Orin")
"""What NVML of JetPack 6 calls every board of the family, and CUDA."""
_CATALOGUE = (
    Gpu("t4", (7, 5), ("Tesla T4",)),
    Gpu("a100", (8, 0), (
        "NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB", "NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe",
    )),
    Gpu("a100-40gb", (8, 0), ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB")),
    Gpu("a100-80gb", (8, 0), ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe")),
    Gpu("a30", (8, 0), ("NVIDIA A30",)),
    Gpu("a2", (8, 6), ("NVIDIA A2",)),
    Gpu("a10", (8, 6), ("NVIDIA A10",)),
    Gpu("a10g", (8, 6), ("NVIDIA A10G",)),
    Gpu("a16", (8, 6), ("NVIDIA A16",)),
    Gpu("a40", (8, 6), ("NVIDIA A40",)),
    Gpu("rtx-3090", (8, 6), ("NVIDIA GeForce RTX 3090",)),
    Gpu("rtx-a6000", (8, 6), ("NVIDIA RTX A6000",)),
    Gpu("agx-orin", (8, 7), _ORIN),
    Gpu("orin", (8, 7), _ORIN),
    Gpu("orin-nano", (8, 7), _ORIN),
    Gpu("orin-nx", (8, 7), _ORIN),
    Gpu("l4", (8, 9), ("NVIDIA L4",)),
    Gpu("l40", (8, 9), ("NVIDIA L40",)),
    Gpu("l40s", (8, 9), ("NVIDIA L40S",)),
    Gpu("rtx-4090", (8, 9), ("NVIDIA GeForce RTX 4090",)),
    Gpu("rtx-6000-ada", (8, 9), ("NVIDIA RTX 6000 Ada Generation",)),
    Gpu("h100", (9, 0), ("NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA H100 NVL")),
    Gpu("h100-nvl", (9, 0), ("NVIDIA H100 NVL",)),
    Gpu("h100-pcie", (9, 0), ("NVIDIA H100 PCIe",)),
    Gpu("h100-sxm", (9, 0), ("NVIDIA H100 80GB HBM3",)),
    Gpu("h200", (9, 0), ("NVIDIA H200", "NVIDIA H200 NVL")),
    Gpu("gh200", (9, 0), ("NVIDIA GH200 480GB", "NVIDIA GH200 144G HBM3e")),
    Gpu("b200", (10, 0), ("NVIDIA B200",)),
    Gpu("gb200", (10, 0), ("NVIDIA GB200",)),
    Gpu("b300", (10, 3), ("NVIDIA B300 SXM6 AC", "NVIDIA B300")),
    Gpu("gb300", (10, 3), ("NVIDIA GB300",)),
    Gpu("thor", (11, 0), ("NVIDIA Thor", "Thor")),
    Gpu("rtx-5090", (12, 0), ("NVIDIA GeForce RTX 5090",)),
    Gpu("rtx-pro-6000", (12, 0), (
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
    )),
    Gpu("gb10", (12, 1), ("NVIDIA GB10",)),
)  # fmt: skip

GPUS: Mapping[str, Gpu] = MappingProxyType({gpu.name: gpu for gpu in _CATALOGUE})
"""The catalogue, by name. Compute capabilities are those of NVIDIA's list at developer.nvidia.com/cuda-gpus."""

NAMED_ALIKE = frozenset(_ORIN)
"""Products whose name several boards bear that differ in more than their memory."""

COMPUTE_CAPABILITIES = tuple(sorted({(7, 0), (7, 2)} | {gpu.compute_capability for gpu in _CATALOGUE}))
"""Every capability that a free target may name: Volta (7.0, 7.2) and all that came after it."""


def gpu_from_name(name: str) -> Gpu:
    """The catalogue's entry. Raises ``UnknownGpuError``."""
    gpu = GPUS.get(name)
    if gpu is None:
        raise UnknownGpuError(name)
    return gpu
