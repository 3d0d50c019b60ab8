"""Jobs spread over all GPUs of a machine, one at a time on each."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.machine.devices import installed_gpus
from pipeline.machine.gpu_lock import GpuPool
from tests.support.gpu_runs import run

if TYPE_CHECKING:
    from pathlib import Path

GPUS = installed_gpus()


@pytest.mark.skipif(len(GPUS) < 2, reason="this machine has one GPU")
def test_builds_spread_over_all_gpus(tmp_path: Path) -> None:
    held: dict[str, set[str]] = {gpu.uuid: set() for gpu in GPUS}
    done = threading.Event()

    def watch() -> None:
        pool = GpuPool()
        while not done.is_set():
            for gpu in GPUS:
                held[gpu.uuid].add(pool.holder(gpu).partition(": ")[2])
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        report = run(tmp_path)
    finally:
        done.set()
        watcher.join()
    assert report["returncode"] == 0
    jobs = {job["id"] for job in report["jobs"]}
    assert all(held[gpu.uuid] & jobs for gpu in GPUS)
    assert report["elapsed_s"] < sum(job["build_s"] for job in report["jobs"])
