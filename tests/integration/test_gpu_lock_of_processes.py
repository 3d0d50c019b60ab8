"""The lock of a GPU between processes, however its holder ends, and whatever lies where its file should be."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import Cancelled, DeviceError
from pipeline.machine import gpu_lock
from pipeline.machine.devices import GpuDevice
from pipeline.machine.gpu_lock import GpuPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
GPU = GpuDevice(uuid="GPU-1", name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="1", cuda="13.0")
FILE = "trt-engines-gpu-GPU-1.lock"
HOLD = """
import sys, threading
from pathlib import Path
from pipeline.machine.devices import GpuDevice
from pipeline.machine.gpu_lock import GpuPool
gpu = GpuDevice(uuid="GPU-1", name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="1", cuda="13.0")
with GpuPool(Path(sys.argv[1])).taken([gpu], threading.Event(), job="digits/h200/fp16"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the GPU."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_F30_a_gpu_that_another_process_holds_is_waited_for_and_its_holder_named(tmp_path: Path) -> None:
    told: list[str] = []
    cancel = threading.Event()

    def waits(holders: str) -> None:
        told.append(holders)
        cancel.set()

    with held_by_another(tmp_path) as process:
        with pytest.raises(Cancelled), GpuPool(tmp_path).taken([GPU], cancel, waits_for=waits):
            pass
        assert f"pid {process.pid} on " in told[0]
        assert told[0].endswith(": digits/h200/fp16")


def test_F30_a_holder_that_is_killed_frees_its_gpu_at_once(tmp_path: Path) -> None:
    with held_by_another(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        started = time.monotonic()
        with GpuPool(tmp_path).taken([GPU], threading.Event()):
            assert time.monotonic() - started < 1


def test_F30_a_file_that_was_removed_while_it_was_locked_counts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two processes would hold the GPU: one by the file that is gone, one by that which took its place."""
    opened = gpu_lock._opened
    removed: list[Path] = []

    def opened_and_removed_once(path: Path) -> int:
        descriptor = opened(path)
        if not removed:
            removed.append(path)
            path.unlink()
        return descriptor

    monkeypatch.setattr(gpu_lock, "_opened", opened_and_removed_once)
    with GpuPool(tmp_path).taken([GPU], threading.Event()):
        assert removed == [tmp_path / FILE]
        assert (tmp_path / FILE).is_file()


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "folder", "pipe"])
def test_what_is_no_plain_file_of_its_own_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    victim, place = tmp_path / "victim", tmp_path / FILE
    victim.write_text("precious")
    makers: dict[str, Callable[[], None]] = {
        "symbolic link": lambda: place.symlink_to(victim),
        "hard link": lambda: place.hardlink_to(victim),
        "folder": place.mkdir,
        "pipe": lambda: os.mkfifo(place),
    }
    makers[kind]()
    with pytest.raises(DeviceError, match="cannot be opened"), GpuPool(tmp_path).taken([GPU], threading.Event()):
        pass
    assert victim.read_text() == "precious"


def test_every_user_of_the_machine_may_take_the_lock(tmp_path: Path) -> None:
    with GpuPool(tmp_path).taken([GPU], threading.Event()):
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o666
