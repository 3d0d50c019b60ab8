"""What goes wrong on a GPU befalls one job, is named, and leaves the next job well."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.child.identity import NOBODY
from pipeline.child.supervisor import run_task
from pipeline.errors import BuildError, DeviceError, PipelineError
from pipeline.machine.devices import installed_gpus
from tests.support.gpu_runs import ROOT, run

if TYPE_CHECKING:
    from collections.abc import Iterator

Built = tuple["Path", dict[str, Any]]
HOLD_MEMORY = """
import sys
from cuda.bindings import runtime as cuda
cuda.cudaFree(0)
left = int(sys.argv[1])
free = cuda.cudaMemGetInfo()[1]
assert cuda.cudaMalloc(free - left)[0] == 0
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def memory_held(left_bytes: int) -> Iterator[None]:
    """Another process that leaves so much of the GPU's memory."""
    command = [sys.executable, "-c", HOLD_MEMORY, str(left_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()


def task(name: str, request: dict[str, Any], folder: Path, tasks: dict[str, str] | None = None) -> dict[str, Any]:
    folder.mkdir(parents=True)
    options: dict[str, Any] = {"_tasks": tasks} if tasks else {}
    return run_task(
        name,
        request,
        folder,
        timeout_s=120,
        cancel=threading.Event(),
        log=folder.with_suffix(".log"),
        gpu=installed_gpus()[0].uuid,
        **options,
    )


def test_F28_a_gpu_without_memory_fails_the_job_with_advice_and_the_next_run_builds(tmp_path: Path) -> None:
    with memory_held(300 << 20):
        report = run(tmp_path, only="*/fp32")
    assert report["returncode"] in (5, 6)
    failure = report["jobs"][0]["failure"]
    assert "memory" in f"{failure['why']} {failure['fix']}".lower()
    assert run(tmp_path, only="*/fp32")["returncode"] == 0


def test_F30_a_benchmark_refuses_a_gpu_that_others_use(built: Built, tmp_path: Path) -> None:
    folder, report = built
    engine = folder / "engines" / report["jobs"][0]["engine"]["path"]
    request: dict[str, Any] = {
        "engine": str(engine),
        "plugins": [],
        "inputs": [],
        "shapes": {},
        "data": None,
        "seed": 0,
    }
    with memory_held(8 << 30), pytest.raises(DeviceError, match="the GPU is shared"):
        task("benchmark", request, tmp_path / "out")


def test_F29_a_cuda_error_ends_its_child_and_the_next_child_is_well(tmp_path: Path) -> None:
    tasks = {"trap": "tests.support.gpu_tasks:trap", "well": "tests.support.gpu_tasks:well"}
    with pytest.raises(BuildError, match="CUDA failed"):
        task("trap", {"root": str(ROOT)}, tmp_path / "trap", tasks)
    assert task("well", {"root": str(ROOT)}, tmp_path / "well", tasks) == {"devices": len(installed_gpus()[:1])}


def test_F32_an_engine_of_another_version_is_refused_with_a_reason(built: Built, tmp_path: Path) -> None:
    folder, report = built
    plan = bytearray((folder / "engines" / report["jobs"][0]["engine"]["path"]).read_bytes())
    plan[24] += 1  # The major version in the header of a plan.
    (tmp_path / "foreign.engine").write_bytes(bytes(plan))
    with pytest.raises(PipelineError, match="cannot be loaded") as caught:
        task(
            "inspect-engine",
            {"engine": str(tmp_path / "foreign.engine"), "profile": False, "plugins": []},
            tmp_path / "out",
        )
    assert caught.value.fix


def test_a_dla_core_that_is_not_there_is_refused(tmp_path: Path) -> None:
    report = run(tmp_path, build="dla_core: 0", only="*/fp16")
    assert report["returncode"] == 6
    assert "no DLA cores" in report["jobs"][0]["failure"]["why"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give its rights up")
def test_T05_a_child_that_uses_the_gpu_is_nobody_without_network_or_process() -> None:
    # Unlike a folder of pytest's, one that every user may pass, as a runner's is.
    with tempfile.TemporaryDirectory() as ground:
        Path(ground).chmod(0o755)
        tasks = {"confined": "tests.support.gpu_tasks:confined"}
        found = task("confined", {"root": str(ROOT)}, Path(ground) / "out", tasks)
    assert found == {"user": NOBODY, "network": "EACCES", "process": "EPERM"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give its rights up")
def test_T05_every_child_of_a_whole_run_is_nobody(built: Built) -> None:
    folder, _ = built
    logs = sorted((folder / "engines/logs").rglob("*.log"))
    told = {line for log in logs for line in log.read_text().splitlines() if line.startswith("confinement: ")}
    assert len(logs) >= 5
    assert told == {f"confinement: user {NOBODY}"}
