"""What a child is left with: the parent decides, and the child applies it to itself before it loads its task.

Each measure stands alone, because kernels and containers differ in what they allow: where one cannot be had, the child
says so in its log and goes on with the others.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.child.gpu_nodes import gpu_nodes
from pipeline.child.identity import Identity, StaysRootError, child_identity
from pipeline.child.inputs import inputs_from_request
from pipeline.child.kernel import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, drop_capabilities, prctl
from pipeline.child.landlock import restrict_files
from pipeline.child.syscalls import refuse_system_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SHARE_OF_DISK: Final = 0.75
"""Of what is free when a child starts: what it may write in all."""
_OPEN_FILES: Final = 4096
_THREADS: Final = 16384
"""RLIMIT_NPROC counts every thread of the user on the host, so that it only stops what is without measure."""
_SYSTEM: Final = (
    "/usr", "/lib", "/lib64", "/opt", "/sys", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/alternatives", "/etc/localtime", "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", "/etc/group",
    "/etc/nvidia", "/dev/random", "/dev/urandom", "/proc/cpuinfo", "/proc/devices", "/proc/driver", "/proc/filesystems",
    "/proc/loadavg", "/proc/meminfo", "/proc/modules", "/proc/stat", "/proc/sys", "/proc/uptime", "/proc/version",
)  # fmt: skip
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full")
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How a child is confined. ``uid`` is ``None`` where it stays who its parent is, ``stays_root`` why that is root.

    ``readable`` are the inputs of its request and ``writable`` its own folders. ``memory_bytes`` bounds its data
    (RLIMIT_DATA) unless it is ``None``, ``disk_bytes`` each file of its, and what its folders may hold together. Only a
    child that uses a ``gpu`` has what processes share by name or number, which others read and which outlives it; only
    one that may start ``programs`` may start a process at all.
    """

    uid: int | None
    gid: int | None
    groups: tuple[int, ...]
    stays_root: str | None
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    memory_bytes: int | None
    disk_bytes: int
    gpu: bool
    programs: bool

    def to_json(self) -> dict[str, Any]:
        """The JSON form; ``confinement_from_json`` is its inverse."""
        return asdict(self)


def confinement_from_json(data: Mapping[str, Any]) -> Confinement:
    """Read what ``to_json`` gave."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Confinement(**values)


def confinement_for(
    request: Mapping[str, Any],
    folder: Path,
    home: Path,
    *,
    code: tuple[Path, ...],
    memory_bytes: int | None,
    gpu: bool,
    programs: bool,
) -> Confinement:
    """What a task with ``request`` is left with, which writes in ``folder`` and ``home`` and whose code is ``code``.

    ``memory_bytes`` is all memory of the machine by default. A child that uses a ``gpu`` has no such limit: CUDA maps
    far more than it fills. It is the first that the kernel ends when memory runs out, of the machine or of the
    container. Both folders are handed to whom the child runs as. Raises ``OSError``.
    """
    inputs = tuple(inputs_from_request(request))
    identity: Identity | None = None
    stays_root: str | None = None
    if os.geteuid() == 0:
        try:
            identity = child_identity((*inputs, *code), passed=folder.parent)
        except StaysRootError as reason:
            stays_root = str(reason)
    if identity is not None:
        for place in (folder, home):
            os.chown(place, identity.uid, identity.gid)
    disk = os.statvfs(folder)
    return Confinement(
        uid=identity.uid if identity else None,
        gid=identity.gid if identity else None,
        groups=identity.groups if identity else (),
        stays_root=stays_root,
        readable=tuple(map(str, (*inputs, *code))),
        writable=(str(folder.absolute()), str(home.absolute())),
        memory_bytes=None if gpu else memory_bytes if memory_bytes is not None else _machine_memory_bytes(),
        disk_bytes=int(disk.f_bavail * disk.f_frsize * _SHARE_OF_DISK),
        gpu=gpu,
        programs=programs,
    )


def confine(confinement: Confinement, parent: int) -> tuple[str, ...]:
    """Apply ``confinement`` to this process, which has one thread; ``parent`` is the process whose end is its own.

    Returns what could not be had and why, each as one line.
    """
    os.umask(0o077)
    measures: tuple[tuple[str, Callable[[], None]], ...] = (
        ("limits", lambda: _limit(confinement)),
        ("first to go when memory ends", _be_the_first_to_go),
        ("no new privileges", lambda: prctl(PR_SET_NO_NEW_PRIVS, 1)),
        ("files by Landlock", lambda: restrict_files(*_places(confinement), programs=confinement.programs)),
        ("an unprivileged user", lambda: _become(confinement)),
        ("no capabilities", drop_capabilities),
        ("unreadable for others", lambda: prctl(PR_SET_DUMPABLE, 0)),
        ("end with the parent", lambda: die_with(parent)),
        (
            "no network, no process",
            lambda: refuse_system_calls(programs=confinement.programs, shares_memory=confinement.gpu),
        ),
    )
    return tuple(missing for name, apply in measures for missing in _tried(name, apply))


def _tried(name: str, apply: Callable[[], None]) -> Iterator[str]:
    try:
        apply()
    except (OSError, ValueError) as error:
        yield f"{name}: {error}"


def die_with(parent: int) -> None:
    """Let the kernel kill this process when ``parent`` ends. Changing the user undoes it, so it is asked for again."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _limit(confinement: Confinement) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, limit in (
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, _THREADS),
        (resource.RLIMIT_FSIZE, confinement.disk_bytes),
        (resource.RLIMIT_DATA, confinement.memory_bytes),
    ):
        if limit is None:
            continue
        _, hard = resource.getrlimit(kind)
        lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowest, lowest))


def _be_the_first_to_go() -> None:
    Path("/proc/self/oom_score_adj").write_text("1000")


def _become(confinement: Confinement) -> None:
    if confinement.stays_root is not None:
        raise PermissionError(confinement.stays_root)
    if confinement.uid is None or confinement.gid is None:
        return
    os.setgroups(confinement.groups)
    os.setresgid(confinement.gid, confinement.gid, confinement.gid)
    os.setresuid(confinement.uid, confinement.uid, confinement.uid)


def _places(confinement: Confinement) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """What may be read and what may be written: the system's, and the child's own.

    Of ``/proc`` that is its own process. A program that it starts has a number that nobody knows yet, and CUDA begins
    only where it may read and write there (``cuInit`` gives 304 otherwise, seen with driver 580). Such a child has all
    of ``/proc``, as far as its user may: no other process of another user, nor what is kept for those who may trace a
    process (``environ``, ``mem``, ``fd``), which from a domain is nobody outside it. Where it stays root it only reads.
    The first entry of ``sys.path`` is the folder of this package, which may be a checkout with secrets in it.
    """
    search = [*sys.path[1:], sys.prefix, sys.base_prefix, *os.environ.get("LD_LIBRARY_PATH", "").split(":")]
    processes = (Path("/proc"),) if confinement.programs else ()
    system = [Path(place).resolve() for place in (*_SYSTEM, *search) if Path(place).is_absolute()]
    inputs = [Path(place) for place in confinement.readable]
    devices = [*map(Path, _DEVICES), *gpu_nodes(), *([Path(_SHARED_MEMORY)] if confinement.gpu else [])]
    own = [Path(place) for place in (*confinement.writable, f"/proc/{os.getpid()}")]
    if confinement.stays_root is not None:
        return (*system, *inputs, *processes), (*devices, *own)
    return (*system, *inputs), (*devices, *own, *processes)


def _machine_memory_bytes() -> int:
    """All memory of the machine, or of the control group where that is less (cgroup v2 ``memory.max``)."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total
