"""Which places a child is left with."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.child.confinement import Confinement, _places

CONFINED = Confinement(
    uid=65534,
    gid=65534,
    groups=(),
    stays_root=None,
    readable=("/data/model.onnx",),
    writable=("/scratch/out",),
    memory_bytes=None,
    disk_bytes=1 << 30,
    gpu=False,
    programs=False,
)
ALL = Path("/proc")
OWN = Path(f"/proc/{os.getpid()}")


def test_inputs_are_read_and_the_own_folder_is_written() -> None:
    readable, writable = _places(CONFINED)
    assert Path("/data/model.onnx") in readable
    assert Path("/scratch/out") in writable
    assert not set(readable) & set(writable)


@pytest.mark.parametrize(
    ("programs", "stays_root", "read", "written"),
    [
        (False, None, False, {OWN}),
        (False, "why", False, {OWN}),
        (True, None, False, {OWN, ALL}),
        (True, "why", True, {OWN}),
    ],
    ids=["nobody", "root", "nobody with programs", "root with programs"],
)
def test_processes_are_open_to_what_starts_programs_and_to_root_only_for_reading(
    programs: bool, stays_root: str | None, read: bool, written: set[Path]
) -> None:
    readable, writable = _places(replace(CONFINED, programs=programs, stays_root=stays_root))
    assert (ALL in readable) is read
    assert {path for path in writable if ALL in (path, *path.parents)} == written
