"""F31: a driver too old for TensorRT, or a GPU that it does not know, is told with both versions before any build."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.digest import digest_from_bytes
from pipeline.doctor.gpus import SUPPORT_MATRIX, gpu_findings
from pipeline.machine.devices import GpuDevice
from pipeline.recipes.measurement_keys import benchmark_key, layers_key

H200 = GpuDevice(
    uuid="GPU-1",
    name="NVIDIA H200",
    compute_capability=(9, 0),
    memory_bytes=141 << 30,
    driver="580.159.04",
    cuda="13.0",
)
ENGINE = digest_from_bytes(b"engine")


def told(device: GpuDevice, tensorrt: str) -> list[tuple[str, str]]:
    return [(each.level, each.text) for each in gpu_findings((device,), {"tensorrt": tensorrt})[1:]]


@pytest.mark.parametrize("version", ["8.6.1", "10.0.1", "10.13.2", "11.1.0"])
def test_F31_a_driver_that_serves_the_version_is_no_fault(version: str) -> None:
    assert told(H200, version) == []


@pytest.mark.parametrize(("capability", "version"), [((10, 3), "10.14.1"), ((12, 1), "11.1.0"), ((12, 0), "10.8.0")])
def test_F31_a_gpu_that_the_version_supports_is_no_fault(capability: tuple[int, int], version: str) -> None:
    assert told(replace(H200, compute_capability=capability), version) == []


@pytest.mark.parametrize(
    ("device", "version", "level", "parts"),
    [
        (replace(H200, driver="515.1", cuda="11.7"), "10.14.1", "problem", ("515.1", "11.7", "10.14.1", "525.60.13")),
        (replace(H200, driver="535.1", cuda="12.2"), "11.1.0", "note", ("535.1", "12.2", "11.1.0", "580")),
        (replace(H200, name="B200", compute_capability=(10, 0)), "10.7.0", "problem", ("B200", "10.0", "10.8")),
        (replace(H200, name="GB300", compute_capability=(10, 3)), "10.13.2", "note", ("GB300", "10.3", "10.14")),
        (replace(H200, name="GB10", compute_capability=(12, 1)), "10.9.0", "note", ("GB10", "12.1", "10.14")),
        (replace(H200, name="GB300", compute_capability=(10, 3)), "10.7.0", "problem", ("GB300", "10.3", "10.8")),
        (replace(H200, name="V100", compute_capability=(7, 0)), "10.5.0", "problem", ("V100", "7.0", "before 10.5")),
    ],
)
def test_F31_what_does_not_fit_is_told_with_both_versions_and_the_support_matrix(
    device: GpuDevice, version: str, level: str, parts: tuple[str, ...]
) -> None:
    ((found, text),) = told(device, version)
    assert found == level
    for part in (*parts, SUPPORT_MATRIX):
        assert part in text


def test_F31_a_gpu_with_other_work_on_it_is_noted() -> None:
    ((level, text),) = told(replace(H200, free_bytes=100 << 30), "10.13.2")
    assert level == "note"
    assert "other work" in text


def test_F31_without_tensorrt_no_driver_is_too_old() -> None:
    assert len(gpu_findings((replace(H200, cuda="10.0"),), {})) == 1


def test_F31_what_was_measured_under_another_driver_has_another_key() -> None:
    keys = [layers_key(ENGINE, gpu="H200", driver=driver) for driver in ("580.1", "580.2")]
    assert keys[0] != keys[1]
    timed = [benchmark_key(ENGINE, {}, data=None, gpu="H200", driver=driver) for driver in ("580.1", "580.2")]
    assert timed[0] != timed[1]
