"""The filter's program, run by a small interpreter of classic BPF as seccomp(2) would run it."""

from __future__ import annotations

import errno
import struct

import pytest

from pipeline.child.syscalls import filter_program

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED = 0x7FFF0000
KILLED = 0x80000000
PID = 4711


def verdict(
    machine: str,
    number: int,
    argument: int = 0,
    second: int = 1,
    *,
    programs: bool = False,
    shares_memory: bool = False,
    audit: int | None = None,
) -> int:
    """What the kernel would do: ``ALLOWED``, ``KILLED``, or the error's number."""
    architecture = ARCHITECTURES[machine] if audit is None else audit
    data = struct.pack("<IIQQQ", number, architecture, 0, argument, second)
    code = filter_program(machine, PID, programs=programs, shares_memory=shares_memory)
    accumulator = place = 0
    while True:
        operation, if_true, if_false, value = struct.unpack_from("=HBBI", code, place * 8)
        place += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x06:
            return int(value) if value in {ALLOWED, KILLED} else int(value) & 0xFFFF
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[operation]
            place += if_true if holds else if_false


@pytest.mark.parametrize(
    ("machine", "number"), [("x86_64", 0), ("x86_64", 9), ("x86_64", 16), ("aarch64", 63), ("aarch64", 29)]
)
def test_reading_mapping_and_device_calls_pass(machine: str, number: int) -> None:
    assert verdict(machine, number) == ALLOWED


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 41), ("aarch64", 198)])
@pytest.mark.parametrize(
    ("family", "expected"), [(1, ALLOWED), (2, errno.EACCES), (10, errno.EACCES), (16, errno.EACCES)]
)
def test_T5_sockets_are_of_this_machine_alone(machine: str, number: int, family: int, expected: int) -> None:
    assert verdict(machine, number, family) == expected


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 41), ("aarch64", 198), ("x86_64", 53), ("aarch64", 199)])
@pytest.mark.parametrize(("kind", "expected"), [(1, ALLOWED), (5, ALLOWED), (2, errno.EACCES), (3, errno.EACCES)])
def test_T5_sockets_send_nothing_without_a_connection(machine: str, number: int, kind: int, expected: int) -> None:
    assert verdict(machine, number, 1, kind) == expected
    assert verdict(machine, number, 1, kind | 0o2004000) == expected


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 42), ("aarch64", 203)])
def test_T5_nothing_is_connected_to(machine: str, number: int) -> None:
    assert verdict(machine, number) == errno.ECONNREFUSED


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 56), ("aarch64", 220)])
def test_T5_threads_start_and_processes_do_not(machine: str, number: int) -> None:
    assert verdict(machine, number, 0x3D0F00) == ALLOWED
    assert verdict(machine, number, 0x1200011) == errno.EPERM
    assert verdict(machine, number, 0x1200011, programs=True) == ALLOWED


def test_T5_programs_run_only_where_they_may() -> None:
    assert verdict("x86_64", 59) == errno.EACCES
    assert verdict("x86_64", 59, programs=True) == ALLOWED
    assert verdict("x86_64", 112, programs=True) == errno.EPERM


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("x86_64", 234), ("aarch64", 129), ("aarch64", 131)])
def test_T5_a_child_signals_itself_alone(machine: str, number: int) -> None:
    assert verdict(machine, number, PID) == ALLOWED
    assert verdict(machine, number, PID - 1) == errno.EPERM


def test_T5_a_child_limits_itself_alone() -> None:
    assert [verdict("x86_64", 302, pid) for pid in (0, PID, 1)] == [ALLOWED, ALLOWED, errno.EPERM]


@pytest.mark.parametrize(
    ("call", "x86_64", "aarch64"),
    [
        ("fork", 57, None),
        ("vfork", 58, None),
        ("clone3", 435, 435),
        ("execve", 59, 221),
        ("execveat", 322, 281),
        ("setpgid", 109, 154),
        ("setsid", 112, 157),
        ("tkill", 200, 130),
        ("rt_sigqueueinfo", 129, 138),
        ("rt_tgsigqueueinfo", 297, 240),
        ("pidfd_send_signal", 424, 424),
        ("pidfd_getfd", 438, 438),
        ("ptrace", 101, 117),
        ("process_vm_readv", 310, 270),
        ("process_vm_writev", 311, 271),
        ("io_uring_setup", 425, 425),
        ("unshare", 272, 97),
        ("setns", 308, 268),
        ("chroot", 161, 51),
        ("pivot_root", 155, 41),
        ("mount", 165, 40),
        ("umount2", 166, 39),
        ("open_tree", 428, 428),
        ("move_mount", 429, 429),
        ("fsopen", 430, 430),
        ("open_by_handle_at", 304, 265),
        ("init_module", 175, 105),
        ("finit_module", 313, 273),
        ("kexec_load", 246, 104),
        ("add_key", 248, 217),
        ("request_key", 249, 218),
        ("keyctl", 250, 219),
        ("perf_event_open", 298, 241),
        ("bpf", 321, 280),
        ("userfaultfd", 323, 282),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_T5_what_no_task_needs_of_the_kernel_is_refused(call: str, x86_64: int, aarch64: int | None) -> None:
    """Most are refused elsewhere too, by rights or by Landlock, where the kernel has it."""
    assert verdict("x86_64", x86_64) not in {ALLOWED, KILLED}
    assert aarch64 is None or verdict("aarch64", aarch64) not in {ALLOWED, KILLED}


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [
        ("x86_64", (29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 220, 240, 241)),
        ("aarch64", (180, 181, *range(186, 197))),
    ],
)
def test_T5_nothing_is_shared_by_number_but_by_a_child_that_uses_a_gpu(machine: str, numbers: tuple[int, ...]) -> None:
    assert {verdict(machine, number) for number in numbers} == {errno.ENOSYS}
    assert {verdict(machine, number, shares_memory=True) for number in numbers} == {ALLOWED}


def test_T5_the_calls_of_another_architecture_end_the_child() -> None:
    assert verdict("x86_64", 59, audit=0x40000003) == KILLED


def test_T5_the_second_numbering_of_x86_is_not_there() -> None:
    assert verdict("x86_64", 0x40000000 + 41, 2) == errno.ENOSYS
