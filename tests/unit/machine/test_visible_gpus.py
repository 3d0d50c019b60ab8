from __future__ import annotations

import pytest

from pipeline.machine.devices import GpuDevice
from pipeline.machine.visible_gpus import visible_gpus


def gpu(uuid: str, index: int) -> GpuDevice:
    return GpuDevice(
        uuid=uuid, name="NVIDIA A10", compute_capability=(8, 6), memory_bytes=1, driver="1", cuda="13.0", index=index
    )


FIRST, SECOND, SLICE, OTHER_SLICE = gpu("GPU-a1", 0), gpu("GPU-a2", 1), gpu("MIG-b1", 2), gpu("MIG-b2", 2)
ALL = (FIRST, SECOND, SLICE, OTHER_SLICE)


def test_without_the_variable_all_are_visible() -> None:
    assert visible_gpus(ALL, None) == ALL


@pytest.mark.parametrize(
    ("asked", "visible"),
    [
        ("1", (SECOND,)),
        ("1,0", (SECOND, FIRST)),
        (" 1 , 0 ", (SECOND, FIRST)),
        ("GPU-a2", (SECOND,)),
        ("MIG-b1", (SLICE,)),
        ("2", (SLICE, OTHER_SLICE)),
        ("0,0", (FIRST,)),
        ("GPU-a1,GPU-a2", (FIRST, SECOND)),
    ],
)
def test_numbers_and_uuids_name_gpus_in_their_order(asked: str, visible: tuple[GpuDevice, ...]) -> None:
    assert visible_gpus(ALL, asked) == visible


@pytest.mark.parametrize("asked", ["", "-1", "7", "all", "NoDevFiles", "GPU-zz", "GPU-a", "A10"])
def test_what_names_no_gpu_hides_all_as_for_cuda(asked: str) -> None:
    assert visible_gpus(ALL, asked) == ()


@pytest.mark.parametrize("asked", ["0,-1,1", "0,9,1"])
def test_what_stands_after_a_name_of_nothing_is_hidden_as_for_cuda(asked: str) -> None:
    assert visible_gpus(ALL, asked) == (FIRST,)
