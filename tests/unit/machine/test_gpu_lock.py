from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import Cancelled
from pipeline.machine.devices import GpuDevice
from pipeline.machine.gpu_lock import GpuPool

if TYPE_CHECKING:
    from pathlib import Path


def gpu(uuid: str) -> GpuDevice:
    return GpuDevice(
        uuid=uuid, name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0"
    )


ONE, TWO = gpu("GPU-1"), gpu("GPU-2")


def test_a_second_job_gets_the_other_gpu(tmp_path: Path) -> None:
    pool, never = GpuPool(tmp_path), threading.Event()
    with pool.taken([ONE, TWO], never) as first, pool.taken([ONE, TWO], never) as second:
        assert (first, second) == (ONE, TWO)


@pytest.mark.parametrize("other_run", [False, True])
def test_F30_a_gpu_that_is_taken_is_waited_for(tmp_path: Path, *, other_run: bool) -> None:
    pool, cancel = GpuPool(tmp_path), threading.Event()
    waiting = GpuPool(tmp_path) if other_run else pool
    with pool.taken([ONE], threading.Event()):
        threading.Timer(0.3, cancel.set).start()
        with pytest.raises(Cancelled), waiting.taken([ONE], cancel):
            pass


def test_a_gpu_is_free_again_afterwards(tmp_path: Path) -> None:
    pool, never = GpuPool(tmp_path), threading.Event()
    for _ in range(2):
        with pool.taken([ONE], never) as device:
            assert device is ONE


def test_a_job_that_fails_frees_its_gpu(tmp_path: Path) -> None:
    pool, never = GpuPool(tmp_path), threading.Event()
    with pytest.raises(ZeroDivisionError), pool.taken([ONE], never):
        raise ZeroDivisionError
    with GpuPool(tmp_path).taken([ONE], never):
        pass
