"""What ``doctor`` says of the container around it: why a GPU that the machine has is not seen, and what to set."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.doctor.finding import Finding
from pipeline.machine.visible_gpus import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1 << 20
_ENOUGH_SHM_BYTES = 256 * _MIB
_LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib/wsl/lib")
_START = (
    "start it with `docker run --gpus all`; a container action cannot, so on its machine run "
    "`nvidia-ctk runtime configure --runtime=docker --set-as-default` and restart Docker; "
    "on Kubernetes ask for `nvidia.com/gpu`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What can be seen of the container and of the machine's driver. ``driver`` is the loaded module's version.

    ``gpu_nodes`` counts the GPUs' device files; ``libraries`` are the driver's that are there; ``asked`` is
    ``NVIDIA_VISIBLE_DEVICES``, ``left`` is ``CUDA_VISIBLE_DEVICES``; ``shm_bytes`` the size of ``/dev/shm``;
    ``own_tmp`` says whether ``/tmp``, where the locks of GPUs lie, is the container's own.
    """

    container: bool
    driver: str | None
    gpu_nodes: int
    libraries: frozenset[str]
    asked: str | None
    left: str | None
    shm_bytes: int | None
    docker_socket: bool
    own_tmp: bool


def surroundings(root: Path = Path("/")) -> Surroundings:
    """Look around; ``root`` is the file system to look at. Nothing native is loaded, nothing that fails is an error."""
    version = _text(root / "proc/driver/nvidia/version")
    found = re.search(r"Kernel Module(?: for \S+)?\s+([\d.]+)", version)
    libraries = {name for name in ("libcuda.so.1", "libnvidia-ml.so.1") for folder in _LIBRARY_FOLDERS
                 if (root / folder / name).exists()}  # fmt: skip
    try:
        shm = os.statvfs(root / "dev/shm")
        shm_bytes = shm.f_blocks * shm.f_frsize
    except OSError:
        shm_bytes = None
    return Surroundings(
        container=any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))
        or "KUBERNETES_SERVICE_HOST" in os.environ,
        driver=found[1] if found else None,
        gpu_nodes=sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in (root / "dev").glob("nvidia*")),
        libraries=frozenset(libraries),
        asked=os.environ.get("NVIDIA_VISIBLE_DEVICES"),
        left=os.environ.get(VARIABLE),
        shm_bytes=shm_bytes,
        docker_socket=(root / "var/run/docker.sock").exists(),
        own_tmp=not (root / "tmp").is_mount(),
    )


def container_findings(seen: Surroundings, *, gpus: int) -> tuple[Finding, ...]:
    """Why there is no GPU, where the machine may have one, and what else of the container matters."""
    return (*_gpu_findings(seen, gpus), *_container_findings(seen, gpus))


def _gpu_findings(seen: Surroundings, gpus: int) -> Iterator[Finding]:
    if gpus:
        return
    where = "this container" if seen.container else "this machine"
    if seen.driver is None:
        if seen.gpu_nodes or seen.container:
            text = "no NVIDIA driver is loaded on the machine: install one there, not in the image, if it has a GPU"
            yield Finding("note", "driver", text)
        return
    yield Finding("ok", "driver", f"{seen.driver} is loaded on the machine")
    if seen.container and seen.asked in {"", "void", "none"}:
        yield Finding(
            "problem", "gpu", f"NVIDIA_VISIBLE_DEVICES is {seen.asked!r}, which hides every GPU: set it to `all`"
        )
    elif not seen.gpu_nodes:
        fix = _START if seen.container else "load its device files with `nvidia-modprobe -u -c=0`"
        yield Finding("problem", "gpu", f"the driver is there and its GPUs are not shown to {where}: {fix}")
    elif "libnvidia-ml.so.1" not in seen.libraries or "libcuda.so.1" not in seen.libraries:
        fix = "NVIDIA_DRIVER_CAPABILITIES must hold `compute,utility`" if seen.container else "install them"
        yield Finding(
            "problem", "gpu", f"{where} lacks the driver's libraries libcuda.so.1 and libnvidia-ml.so.1: {fix}"
        )
    elif seen.left is not None:
        text = f"{VARIABLE} is {seen.left!r}, which leaves none of the GPUs here to this run: correct it, or unset it"
        yield Finding("problem", "gpu", text)
    else:
        yield Finding(
            "problem",
            "gpu",
            f"the driver's {seen.gpu_nodes} GPUs do not answer {where}: where MIG is on, make slices (`nvidia-smi mig "
            "-cgi 9 -C`) and show them; else start the container again: its driver or its devices changed meanwhile",
        )


def _container_findings(seen: Surroundings, gpus: int) -> Iterator[Finding]:
    if not seen.container:
        return
    if seen.shm_bytes is not None and seen.shm_bytes < _ENOUGH_SHM_BYTES and gpus:
        text = f"{seen.shm_bytes // _MIB} MiB, and frameworks that load data in processes want more: --shm-size 1g"
        yield Finding("note", "shared memory", text)
    if seen.own_tmp and gpus:
        text = (
            "the locks that keep two runs from one GPU lie in this container's own /tmp: where several containers use "
            "one GPU, start each with --volume /tmp:/tmp, or give each GPUs of its own"
        )
        yield Finding("note", "GPU locks", text)
    if seen.docker_socket:
        text = "reachable from here, so this container is as powerful as root on the machine: see docs/security.md"
        yield Finding("note", "docker.sock", text)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
