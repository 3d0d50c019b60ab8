"""The kernel's own interface, as far as the standard library leaves it out. Linux on x86_64 and aarch64."""

from __future__ import annotations

import ctypes
import os
import struct
from functools import lru_cache

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

MACHINE = os.uname().machine
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522


def prctl(option: int, value: int) -> None:
    """Set one of this process's attributes (prctl(2)). Raises ``OSError``."""
    _checked(_libc().prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3))


def syscall(number: int, *arguments: object) -> int:
    """Make a system call; integers are passed as machine words. Raises ``OSError``."""
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_libc().syscall(ctypes.c_long(number), *words))


def drop_capabilities() -> None:
    """Give up every capability of this process for good, also where it stays root. Raises ``OSError``."""
    if MACHINE not in _CAPSET:
        raise OSError(f"capset(2) has no known number on {MACHINE}")
    syscall(_CAPSET[MACHINE], struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
