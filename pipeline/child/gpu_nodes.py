"""The device nodes through which CUDA reaches GPUs, and who may open them."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

_PATTERNS: Final = ("nvidia*", "nvidia-caps/*", "nvidia-caps-imex-channels/*", "nvmap", "nvhost*", "nvgpu/*/*", "dxg")
"""Of the driver of discrete GPUs, with the capabilities of their MIG slices; of a Jetson's; of WSL's."""
_CARDS: Final = ("nvidiactl", "nvidia-uvm", "nvidia[0-9]*", "nvmap", "nvhost*gpu", "nvgpu/*/*", "dxg")
"""Those without which there is no CUDA. Others, such as the screen's, are nobody's loss."""


def gpu_nodes(devices: Path = Path("/dev")) -> tuple[Path, ...]:
    """Every node and folder of GPUs below ``devices``, in order."""
    return tuple(sorted({path for pattern in _PATTERNS for path in devices.glob(pattern)}))


def gpu_groups(devices: Path = Path("/dev")) -> tuple[int, ...]:
    """The groups, but root's, whose members alone may open some node: ``video`` on many hosts."""
    everybody, members = stat.S_IROTH | stat.S_IWOTH, stat.S_IRGRP
    states = [path.stat() for path in gpu_nodes(devices) if path.is_char_device()]
    return tuple(
        sorted(
            {
                state.st_gid
                for state in states
                if state.st_gid and state.st_mode & everybody != everybody and state.st_mode & members
            }
        )
    )


def needed_nodes(devices: Path = Path("/dev")) -> tuple[Path, ...]:
    """The nodes that CUDA must read and write."""
    found = {path for pattern in _CARDS for path in devices.glob(pattern)}
    return tuple(sorted(path for path in found if path.is_char_device()))
