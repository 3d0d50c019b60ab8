from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from pipeline.machine.devices import GpuDevice, gpus_for_target, installed_gpus
from pipeline.targets import GPUS, Target


def gpu(name: str, capability: tuple[int, int] = (9, 0)) -> GpuDevice:
    return GpuDevice(uuid=name, name=name, compute_capability=capability, memory_bytes=1, driver="1", cuda="13.0")


def test_a_target_of_the_catalogue_wants_its_product() -> None:
    h200, h100 = gpu("NVIDIA H200"), gpu("NVIDIA H100 80GB HBM3")
    target = Target("h200", "tensorrt", (9, 0), "h200")
    assert gpus_for_target(target, (h100, h200)) == (h200,)


def test_a_free_target_wants_its_compute_capability() -> None:
    hopper, ada = gpu("NVIDIA H200"), gpu("NVIDIA L4", (8, 9))
    assert gpus_for_target(Target("sm_89", "tensorrt", (8, 9)), (hopper, ada)) == (ada,)


def test_F30_a_mig_slice_is_of_its_gpus_product() -> None:
    slice_ = gpu("NVIDIA H200 MIG 1g.18gb")
    assert gpus_for_target(Target("h200", "tensorrt", (9, 0), "h200"), (slice_,)) == (slice_,)


def test_gpus_for_a_target_are_of_one_product_the_first_that_fits() -> None:
    a10, rtx = gpu("NVIDIA A10", (8, 6)), gpu("NVIDIA GeForce RTX 3090", (8, 6))
    other = replace(a10, uuid="another")
    assert gpus_for_target(Target("sm_86", "tensorrt", (8, 6)), (a10, rtx, other)) == (a10, other)
    small, large = gpu("NVIDIA A100-SXM4-40GB", (8, 0)), gpu("NVIDIA A100-SXM4-80GB", (8, 0))
    assert gpus_for_target(Target("a100", "tensorrt", (8, 0), "a100"), (large, small)) == (large,)


def test_boards_that_are_named_alike_keep_engines_of_their_own() -> None:
    orin, h100 = gpu("Orin (nvgpu)", (8, 7)), gpu("NVIDIA H100 PCIe")
    targets = [Target(name, "tensorrt", (8, 7), name) for name in ("orin-nano", "agx-orin")]
    assert all(gpus_for_target(target, (orin,)) == (orin,) for target in targets)
    assert [orin.name_for(target) for target in targets] == ["Orin (nvgpu) as orin-nano", "Orin (nvgpu) as agx-orin"]
    assert h100.name_for(Target("h100", "tensorrt", (9, 0), "h100")) == "NVIDIA H100 PCIe"


def test_mig_slices_of_two_sizes_are_two_products() -> None:
    one, two = gpu("NVIDIA H200 MIG 1g.18gb"), gpu("NVIDIA H200 MIG 2g.35gb")
    assert gpus_for_target(Target("h200", "tensorrt", (9, 0), "h200"), (one, two)) == (one,)


def test_every_product_of_the_catalogue_belongs_to_a_target() -> None:
    for name, kind in GPUS.items():
        for product in kind.products:
            device = gpu(product, kind.compute_capability)
            assert gpus_for_target(Target(name, "tensorrt", kind.compute_capability, name), (device,)) == (device,)


class Nvml(ModuleType):
    """NVML as its Python package gives it, with one H200."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotFound(NVMLError):  # noqa: N801, N818  the package's own name
        pass

    def __init__(self, *, driver: bool, unsupported: tuple[str, ...] = ()) -> None:
        super().__init__("pynvml")
        self.unsupported = unsupported
        self.driver = driver

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError("driver not loaded")

    def __getattr__(self, name: str) -> object:
        answers = {
            "nvmlShutdown": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetCudaComputeCapability": (9, 0),
            "nvmlSystemGetDriverVersion": "580.159.04",
            "nvmlSystemGetCudaDriverVersion_v2": 13000,
            "nvmlDeviceGetMigMode": [0, 0],
            "nvmlDeviceGetUUID": b"GPU-7e5ab340",
            "nvmlDeviceGetName": "NVIDIA H200",
            "nvmlDeviceGetMemoryInfo": type("Memory", (), {"total": 150754820096, "free": 150000000000}),
        }
        if name not in answers:
            raise AttributeError(name)
        return self._refuse if name in self.unsupported else lambda *_: answers[name]

    def _refuse(self, *_: object) -> None:
        raise self.NVMLError("not supported")


def test_nvml_names_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(driver=True))
    assert installed_gpus() == (
        GpuDevice(
            uuid="GPU-7e5ab340",
            name="NVIDIA H200",
            compute_capability=(9, 0),
            memory_bytes=150754820096,
            driver="580.159.04",
            cuda="13.0",
            free_bytes=150000000000,
        ),
    )


@pytest.mark.parametrize("module", [None, Nvml(driver=False)], ids=["no package", "no driver"])
def test_F30_a_machine_without_a_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert installed_gpus() == ()


def test_a_gpu_that_shares_the_machines_memory_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Jetson's NVML does not tell memory, and CUDA does not know the UUID that it tells, if any."""
    nvml = Nvml(driver=True, unsupported=("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetUUID"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    (device,) = installed_gpus()
    assert device.memory_bytes > 0
    assert (device.free_bytes, device.uuid, device.cuda_name) == (None, "GPU-number-0", "0")


def test_any_other_gpu_is_named_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(driver=True))
    (device,) = installed_gpus()
    assert device.cuda_name == device.uuid == "GPU-7e5ab340"


def test_a_gpu_that_the_run_was_not_given_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(driver=True))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert installed_gpus() == ()
