"""Who a child runs as when the step itself runs as root, as every container action does."""

from __future__ import annotations

import contextlib
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


class StaysRootError(Exception):
    """A child cannot be given up to nobody; the text says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, a group, and the further groups that GPUs' device nodes ask for."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def child_identity(needed: Iterable[Path], *, passed: Path) -> Identity:
    """Who a child of root becomes, which reads the installation and ``needed``, and works below ``passed``.

    That is nobody, or, where a workspace is closed to all but its owner, that owner: root without capabilities could
    not read it either. Both are members of the groups that GPUs' device nodes are given to. Rights are read from mode
    bits. Raises ``StaysRootError`` where neither may do all that, and where some node is root's alone, which the
    owner needs no capability to open. The child then stays root, without capabilities.
    """
    if not _may_become_nobody(Path("/proc/self")):
        raise StaysRootError("the container was started without the capabilities to change to another user")
    paths = (*_installation(), *needed)
    groups = gpu_groups()
    others = (Identity(uid, gid, (*groups, NOBODY)) for uid, gid in _owners(paths))
    reasons = []
    for identity in (Identity(NOBODY, NOBODY, groups), *others):
        reason = _obstacle(identity, paths, passed)
        if reason is None:
            return identity
        reasons.append(reason)
    raise StaysRootError("; ".join(reasons))


def _obstacle(identity: Identity, paths: Iterable[Path], passed: Path) -> str | None:
    for path in paths:
        if not may_read(path, identity):
            return f"user {identity.uid} may not read {path}"
    if not may_pass(passed, identity):
        return f"user {identity.uid} may not pass {passed}"
    for node in needed_nodes():
        if not may_use(node, identity):
            return f"user {identity.uid} may not use {node}"
    return None


def _owners(paths: Iterable[Path]) -> list[tuple[int, int]]:
    """The users, with their groups, that own some of ``paths``, root and nobody left out."""
    found: dict[int, int] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            found.setdefault(status.st_uid, status.st_gid)
    return [(uid, gid) for uid, gid in found.items() if uid not in {0, NOBODY}]


def may_read(path: Path, identity: Identity) -> bool:
    """Whether ``identity`` may read ``path`` and pass every folder above it; ``False`` where it is not there.

    Of a folder, the files that lie in it count too, but hidden ones.
    """
    try:
        real = path.resolve(strict=True)
        if not all(_has(folder, identity, _EXECUTE) for folder in real.parents):
            return False
        if not real.is_dir():
            return _has(real, identity, _READ)
        files = [each for each in real.iterdir() if each.is_file() and not each.name.startswith(".")]
        return _has(real, identity, _READ | _EXECUTE) and all(_has(each, identity, _READ) for each in files)
    except (OSError, RuntimeError):
        return False


def may_pass(folder: Path, identity: Identity) -> bool:
    """Whether ``identity`` may open what it knows by name in ``folder``; ``False`` where it is not there."""
    try:
        real = folder.resolve(strict=True)
        return all(_has(each, identity, _EXECUTE) for each in (real, *real.parents))
    except (OSError, RuntimeError):
        return False


def may_use(node: Path, identity: Identity) -> bool:
    """Whether ``identity`` may read and write ``node``."""
    return _has(node, identity, _READ | _WRITE)


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
