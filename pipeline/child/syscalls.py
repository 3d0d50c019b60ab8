"""The system calls that a child may not make: a seccomp filter, which needs no privilege (seccomp(2)).

A child computes and writes its files. It needs no network, no other program, no other process and nothing of the
kernel's administration; so an exploit in a parser finds none of them either. What is refused answers with an error that
callers know, since libraries ask for some of these and go on without.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

from pipeline.child.kernel import MACHINE, syscall

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1
_NO_SPECULATION_COST: Final = 4
"""``SECCOMP_FILTER_FLAG_SPEC_ALLOW``: kernels before 5.16 would slow the whole child down otherwise."""

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT: Final = 0x40000000
_CLONE_THREAD: Final = 0x10000

# Numbers from the kernel's own tables: (x86_64, aarch64); None where an architecture does not have the call.
_Calls = tuple[tuple[int | None, int | None, int], ...]
_PROCESSES: Final[_Calls] = (
    (57, None, errno.EPERM),  # fork
    (58, None, errno.EPERM),  # vfork
    (435, 435, errno.ENOSYS),  # clone3: its flags lie in memory; the C library falls back to clone
    (59, 221, errno.EACCES),  # execve
    (322, 281, errno.EACCES),  # execveat
)
_REFUSED: Final[_Calls] = (
    (42, 203, errno.ECONNREFUSED),  # connect: with AF_UNIX streams alone left, all that would reach a daemon's socket
    (109, 154, errno.EPERM),  # setpgid: whoever left the group would outlive it
    (112, 157, errno.EPERM),  # setsid
    (200, 130, errno.EPERM),  # tkill
    (129, 138, errno.EPERM),  # rt_sigqueueinfo
    (297, 240, errno.EPERM),  # rt_tgsigqueueinfo
    (424, 424, errno.EPERM),  # pidfd_send_signal
    (438, 438, errno.EPERM),  # pidfd_getfd
    (101, 117, errno.EPERM),  # ptrace
    (310, 270, errno.EPERM),  # process_vm_readv
    (311, 271, errno.EPERM),  # process_vm_writev
    (425, 425, errno.ENOSYS),  # io_uring_setup: it opens sockets past this filter
    (272, 97, errno.EPERM),  # unshare
    (308, 268, errno.EPERM),  # setns
    (161, 51, errno.EPERM),  # chroot
    (155, 41, errno.EPERM),  # pivot_root
    (165, 40, errno.EPERM),  # mount
    (166, 39, errno.EPERM),  # umount2
    (428, 428, errno.EPERM),  # open_tree
    (429, 429, errno.EPERM),  # move_mount
    (430, 430, errno.EPERM),  # fsopen
    (304, 265, errno.EPERM),  # open_by_handle_at
    (175, 105, errno.EPERM),  # init_module
    (313, 273, errno.EPERM),  # finit_module
    (246, 104, errno.EPERM),  # kexec_load
    (248, 217, errno.EPERM),  # add_key
    (249, 218, errno.EPERM),  # request_key
    (250, 219, errno.EPERM),  # keyctl
    (298, 241, errno.EPERM),  # perf_event_open
    (321, 280, errno.EPERM),  # bpf
    (323, 282, errno.EPERM),  # userfaultfd
)
_SHARED_BY_NUMBER: Final[_Calls] = tuple(
    (*numbers, errno.ENOSYS)  # as kernels without them answer
    for numbers in (
        (29, 194),  # shmget
        (30, 196),  # shmat
        (31, 195),  # shmctl
        (64, 190),  # semget
        (65, 193),  # semop
        (66, 191),  # semctl
        (220, 192),  # semtimedop
        (68, 186),  # msgget
        (69, 189),  # msgsnd
        (70, 188),  # msgrcv
        (71, 187),  # msgctl
        (240, 180),  # mq_open
        (241, 181),  # mq_unlink
    )
)
"""The memory, semaphores and queues of System V, and the queues of POSIX: processes share them by number or name, past
every rule about files, and they outlive whoever made them."""
_SOCKET: Final = (41, 198)
_SOCKETPAIR: Final = (53, 199)
_CONNECTED_KINDS: Final = (1, 5)
"""``SOCK_STREAM`` and ``SOCK_SEQPACKET``. A datagram needs no connect to reach a socket by its path."""
_CLONE: Final = (56, 220)
_OF_OWN_PROCESS: Final = ((62, 129), (234, 131))  # kill, tgkill
_PRLIMIT: Final = (302, 261)

# The classic BPF that seccomp(2) takes: load a word, jump, return.
_LOAD: Final = 0x20
_AND: Final = 0x54
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_IF_BITS: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERROR: Final = 0x00050000
_KILL: Final = 0x80000000
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_FIRST_ARGUMENT_AT: Final = 16
_SECOND_ARGUMENT_AT: Final = 24
_KIND_BITS: Final = 0xF


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_system_calls(*, programs: bool, shares_memory: bool) -> None:
    """Put the filter on this process, all its threads and all that it might start, for good.

    With ``programs`` it may start processes, though none that leaves its group. Where it ``shares_memory`` it may do so
    by numbers too, as System V has it. Privileges must have been given up before (``PR_SET_NO_NEW_PRIVS``). Raises
    ``OSError`` where the kernel has no seccomp, or the architecture's numbers are not known here.
    """
    if MACHINE not in _SECCOMP:
        raise OSError(f"the numbers of the system calls of {MACHINE} are not known here")
    code = filter_program(MACHINE, os.getpid(), programs=programs, shares_memory=shares_memory)
    program = _Program(len(code) // 8, code)
    flags = _ALL_THREADS | _NO_SPECULATION_COST
    syscall(_SECCOMP[MACHINE], _SET_MODE_FILTER, flags, ctypes.byref(program))


def filter_program(machine: str, pid: int, *, programs: bool, shares_memory: bool) -> bytes:
    """The filter's instructions for ``machine`` (``x86_64`` or ``aarch64``) and the process ``pid``, 8 bytes each."""
    column = 0 if machine == "x86_64" else 1
    code = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_IF_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [_instruction(_IF_AT_LEAST, _X32_BIT, 0, 1), _instruction(_RETURN, _ERROR | errno.ENOSYS)]
    refused = (*_REFUSED, *(() if programs else _PROCESSES), *(() if shares_memory else _SHARED_BY_NUMBER))
    for *numbers, error in refused:
        number = numbers[column]
        if number is not None:
            code += [_instruction(_IF_EQUAL, number, 0, 1), _instruction(_RETURN, _ERROR | error)]
    code += _unless_connected(_SOCKET[column]) + _unless_connected(_SOCKETPAIR[column])
    code += _unless(_SOCKET[column], errno.EACCES, (_IF_EQUAL, 1))
    if not programs:
        code += _unless(_CLONE[column], errno.EPERM, (_IF_BITS, _CLONE_THREAD))
        for call in _OF_OWN_PROCESS:
            code += _unless(call[column], errno.EPERM, (_IF_EQUAL, pid))
        code += _unless(_PRLIMIT[column], errno.EPERM, (_IF_EQUAL, 0), (_IF_EQUAL, pid))
    code.append(_instruction(_RETURN, _ALLOW))
    return b"".join(code)


def _unless_connected(number: int) -> list[bytes]:
    """Refuse call ``number`` for a kind of socket, its second argument, that sends without a connect; else go on."""
    kinds = len(_CONNECTED_KINDS)
    block = [
        _instruction(_LOAD, _SECOND_ARGUMENT_AT),
        _instruction(_AND, _KIND_BITS),
        *(_instruction(_IF_EQUAL, kind, kinds - index, 0) for index, kind in enumerate(_CONNECTED_KINDS)),
        _instruction(_RETURN, _ERROR | errno.EACCES),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    return [_instruction(_IF_EQUAL, number, 0, len(block)), *block]


def _unless(number: int, error: int, *tests: tuple[int, int]) -> list[bytes]:
    """Refuse call ``number`` with ``error`` unless its first argument passes one of ``tests``."""
    passes = [_instruction(code, value, len(tests) - index, 0) for index, (code, value) in enumerate(tests)]
    block = [_instruction(_LOAD, _FIRST_ARGUMENT_AT), *passes, _instruction(_RETURN, _ERROR | error)]
    return [_instruction(_IF_EQUAL, number, 0, len(block) + 1), *block, _instruction(_RETURN, _ALLOW)]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
