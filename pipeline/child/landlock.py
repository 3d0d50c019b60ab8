"""What a child may read and write of the file system: a Landlock domain, which needs no privilege (landlock(7)).

Beside files, a domain keeps its processes from reading or tracing any process outside (``/proc/PID/environ``), and,
where the kernel is new enough, from TCP, from abstract sockets and from signalling others.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING, Final

from pipeline.child.kernel import syscall

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REGULAR = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_RIGHTS_BY_VERSION: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ: Final = _READ_FILE | _READ_DIR
_WRITE: Final = _READ | _WRITE_FILE | _TRUNCATE | _MAKE_REGULAR | _MAKE_DIR | _REMOVE_FILE | _REMOVE_DIR | _REFER
"""Regular files and folders. A child makes no links, sockets, pipes or devices."""
_ALL_NETWORK: Final = 3
_ALL_SCOPES: Final = 3


def restrict_files(readable: Iterable[Path], writable: Iterable[Path], *, programs: bool) -> None:
    """Leave this process ``readable`` and ``writable`` and what lies below them; what is not there is left out.

    With ``programs``, programs among ``readable`` may be run. A path that is itself a symbolic link is left out too.
    Privileges must have been given up before (``PR_SET_NO_NEW_PRIVS``), and there must be one thread. Raises
    ``OSError`` where the kernel has no Landlock.
    """
    version = syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    handled = _RIGHTS_BY_VERSION[min(version, 3)]
    attributes = struct.pack("=QQQ", handled, _ALL_NETWORK, _ALL_SCOPES)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = syscall(_CREATE_RULESET, attributes[:size], size, 0)
    try:
        for paths, rights in ((readable, _READ | (_EXECUTE if programs else 0)), (writable, _WRITE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISLNK(mode):
            rule = struct.pack("=Qi", rights if stat.S_ISDIR(mode) else rights & _OF_FILES, descriptor)
            syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
