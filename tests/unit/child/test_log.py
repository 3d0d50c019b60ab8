from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.child.log import BoundedLog, decisive_lines

if TYPE_CHECKING:
    from pathlib import Path


def written(path: Path, *pieces: bytes, limit_bytes: int = 100) -> bytes:
    with BoundedLog(path, limit_bytes) as log:
        for piece in pieces:
            log.write(piece)
    return path.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 49, 50, 51, 99, 100])
def test_what_fits_is_kept_whole(tmp_path: Path, size: int) -> None:
    data = bytes(range(size))
    assert written(tmp_path / "log", data[:30], data[30:]) == data


def test_of_what_does_not_fit_both_ends_are_kept(tmp_path: Path) -> None:
    data = bytes(range(200))
    kept = written(tmp_path / "log", *(data[start : start + 7] for start in range(0, 200, 7)))
    assert kept == data[:50] + b"\n[100 bytes left out]\n" + data[150:]


def test_one_piece_larger_than_the_limit_is_cut_too(tmp_path: Path) -> None:
    data = bytes(range(250))
    assert written(tmp_path / "log", data) == data[:50] + b"\n[150 bytes left out]\n" + data[200:]


def test_the_file_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with BoundedLog(tmp_path / "log") as log:
        log.write(b"started\n")
        assert (tmp_path / "log").read_bytes() == b"started\n"


def test_the_tail_is_what_came_last(tmp_path: Path) -> None:
    with BoundedLog(tmp_path / "log", 10) as log:
        log.write(b"0123456789")
        log.write(b"abc")
        assert log.tail == b"89abc"


def test_folders_for_the_log_are_made(tmp_path: Path) -> None:
    assert written(tmp_path / "a" / "b" / "log", b"x") == b"x"


def test_the_last_lines_that_look_like_a_reason_are_chosen() -> None:
    tail = b"parsing\n[E] Error Code 2: first\nbuilding\nAssertion failed: second\ncleaning up\n"
    assert decisive_lines(tail) == "[E] Error Code 2: first | Assertion failed: second"


def test_without_a_reason_the_last_lines_are_shown() -> None:
    assert decisive_lines(b"one\ntwo\n\nthree\n", 2) == "two | three"


def test_what_every_run_without_a_gpu_says_is_left_out() -> None:
    tail = b"Error: real\nError Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient)\n"
    assert decisive_lines(tail) == "Error: real"


def test_a_python_stack_is_left_out() -> None:
    tail = (
        b"[E] reason: failed\nFatal Python error: Segmentation fault\n\n"
        b'Current thread 0x00007f (most recent call first):\n  File "x.py", line 1 in error\n'
    )
    assert decisive_lines(tail) == "[E] reason: failed"


def test_nothing_that_steers_a_terminal_gets_through() -> None:
    assert decisive_lines(b"\x1b[31mError: red\x1b[0m\x07 \xff\r\n") == "Error: red \N{REPLACEMENT CHARACTER}"


def test_an_endless_line_is_cut() -> None:
    assert len(decisive_lines(b"Error " + b"x" * 10_000)) == 300
