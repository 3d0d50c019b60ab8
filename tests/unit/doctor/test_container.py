from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.doctor.container import Surroundings, container_findings, surroundings

if TYPE_CHECKING:
    from pathlib import Path

BOTH = frozenset({"libcuda.so.1", "libnvidia-ml.so.1"})
SOUND = Surroundings(
    container=True,
    driver="580.159.04",
    gpu_nodes=2,
    libraries=BOTH,
    asked="all",
    left=None,
    shm_bytes=1 << 30,
    docker_socket=False,
    own_tmp=False,
)


def told(seen: Surroundings, gpus: int = 0) -> list[str]:
    return [f"{each.level} {each.subject}: {each.text}" for each in container_findings(seen, gpus=gpus)]


def test_a_container_whose_gpus_answer_has_nothing_to_tell() -> None:
    assert told(SOUND, gpus=2) == []


@pytest.mark.parametrize(
    ("seen", "level", "fix"),
    [
        (replace(SOUND, driver=None, gpu_nodes=0), "note", "install one there, not in the image"),
        (replace(SOUND, gpu_nodes=0), "problem", "--set-as-default"),
        (replace(SOUND, gpu_nodes=0), "problem", "docker run --gpus all"),
        (replace(SOUND, gpu_nodes=0, asked="void"), "problem", "NVIDIA_VISIBLE_DEVICES is 'void'"),
        (replace(SOUND, libraries=frozenset({"libcuda.so.1"})), "problem", "compute,utility"),
        (SOUND, "problem", "where MIG is on, make slices"),
        (replace(SOUND, left="7"), "problem", "CUDA_VISIBLE_DEVICES is '7'"),
        (replace(SOUND, container=False, gpu_nodes=0), "problem", "nvidia-modprobe"),
    ],
)
def test_each_reason_for_no_gpu_has_its_remedy(seen: Surroundings, level: str, fix: str) -> None:
    last = told(seen)[-1]
    assert last.startswith(level)
    assert fix in last


def test_a_machine_without_driver_or_gpu_has_nothing_to_tell() -> None:
    assert told(replace(SOUND, container=False, driver=None, gpu_nodes=0)) == []


def test_little_shared_memory_is_noted_where_there_is_a_gpu() -> None:
    small = replace(SOUND, shm_bytes=64 << 20)
    assert told(small, gpus=1) == [
        "note shared memory: 64 MiB, and frameworks that load data in processes want more: --shm-size 1g"
    ]


def test_T15_a_reachable_docker_socket_is_noted(tmp_path: Path) -> None:
    assert not surroundings(tmp_path).docker_socket
    (tmp_path / "var/run").mkdir(parents=True)
    (tmp_path / "var/run/docker.sock").touch()
    seen = surroundings(tmp_path)
    assert seen.docker_socket
    assert "as powerful as root" in told(replace(SOUND, docker_socket=seen.docker_socket), gpus=1)[0]


def test_what_is_seen_comes_from_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    for folder in ("proc/driver/nvidia", "dev/shm", "run", "var/run", "usr/lib64"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build\nGCC version: 12\n"
    )
    for name in ("dev/nvidia0", "dev/nvidia1", "dev/nvidiactl", "run/.containerenv", "usr/lib64/libcuda.so.1"):
        (tmp_path / name).touch()
    seen = surroundings(tmp_path)
    assert (seen.container, seen.driver, seen.gpu_nodes) == (True, "580.159.04", 2)
    assert (seen.libraries, seen.asked, seen.docker_socket) == (frozenset({"libcuda.so.1"}), "all", False)


def test_nothing_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    seen = surroundings(tmp_path)
    assert (seen.container, seen.driver, seen.gpu_nodes, seen.shm_bytes) == (False, None, 0, None)


def test_a_container_that_sees_no_locks_of_others_is_told_how_to() -> None:
    alone = replace(SOUND, own_tmp=True)
    (note,) = told(alone, gpus=1)
    assert note.startswith("note GPU locks: ")
    assert "--volume /tmp:/tmp" in note
    assert told(replace(alone, container=False), gpus=1) == []
