"""Who a child runs as when the step itself runs as root, as every container action does."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.child.gpu_nodes import gpu_groups, needed_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

NOBODY = 65534
"""The user and group that own nothing (the kernel's overflow ids)."""
_READ, _WRITE, _EXECUTE = 4, 2, 1
_CAPABILITIES = sum(1 << bit for bit in (0, 1, 3, 6, 7))
"""CHOWN, DAC_OVERRIDE, FOWNER, SETGID and SETUID (capabilities(7)): a container that was started without cannot."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, a group, and the further groups that GPUs' device nodes ask for."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def child_identity(needed: Iterable[Path]) -> Identity | None:
    """Nobody, where this process is root and nobody may read the installation and ``needed``; else ``None``.

    Nobody is a member of the groups that GPUs' device nodes are given to. Where some node is root's alone, it is
    ``None`` too, so that the GPU stays in reach: the owner needs no capability to open it.
    With ``None`` the child stays who its parent is, without capabilities. Rights are read from mode bits.
    """
    if os.geteuid() != 0 or not _may_become_nobody(Path("/proc/self")):
        return None
    nobody = Identity(NOBODY, NOBODY, gpu_groups())
    readable = all(may_read(path, nobody) for path in (*_installation(), *needed))
    return nobody if readable and may_use(needed_nodes(), nobody) else None


def may_read(path: Path, identity: Identity) -> bool:
    """Whether ``identity`` may read ``path`` and pass every folder above it; ``False`` where it is not there."""
    try:
        real = path.resolve(strict=True)
        wanted = _READ | _EXECUTE if real.is_dir() else _READ
        return _has(real, identity, wanted) and all(_has(folder, identity, _EXECUTE) for folder in real.parents)
    except (OSError, RuntimeError):
        return False


def may_use(nodes: Iterable[Path], identity: Identity) -> bool:
    """Whether ``identity`` may read and write every one of ``nodes``."""
    return all(_has(node, identity, _READ | _WRITE) for node in nodes)


def _may_become_nobody(process: Path) -> bool:
    """Whether ``process`` may hand files over and change its user, and its user namespace knows nobody."""
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    ranges = [list(map(int, line.split())) for line in (process / "uid_map").read_text().splitlines()]
    known = any(first <= NOBODY < first + count for first, _, count in ranges)
    return known and int(status["CapEff"], 16) & _CAPABILITIES == _CAPABILITIES


def _has(path: Path, identity: Identity, wanted: int) -> bool:
    status = path.stat()
    shift = 6 if status.st_uid == identity.uid else 3 if status.st_gid in {identity.gid, *identity.groups} else 0
    return (status.st_mode >> shift) & wanted == wanted


@lru_cache(maxsize=1)
def _installation() -> tuple[Path, ...]:
    """What a child must read to start: the interpreter, its packages, and this one."""
    packages = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    here = Path(__file__).resolve().parents[1]
    return (Path(sys.executable), *(Path(path) for path in sorted(packages) if Path(path).exists()), here)
