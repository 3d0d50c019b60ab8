from __future__ import annotations

import struct

import pytest

from pipeline.build.plan_header import PlanHeader, header_faults, read_plan_header
from pipeline.record import json_from_record, record_from_json

RTX = PlanHeader(magic="vtrt", version="1.7.1.116", size_bytes=555_996, capability_mask=0b1000)
FULL = PlanHeader(magic="ftrt", version="10.13.3.9", size_bytes=None, capability_mask=None)
ASKED = {"size_bytes": 555_996, "runtime": "tensorrt-rtx", "version": "1.7.1.116", "compute_capability": (8, 9)}


def rtx_plan(*, size_bytes: int = 555_996, mask: int = 0b1000, magic: bytes = b"vtrt", zero: int = 0) -> bytes:
    """The first bytes of a plan that TensorRT-RTX 1.7.1 built, with some of its fields changed."""
    first = struct.pack("<4sIQQ4B", magic, zero, 2, size_bytes, 1, 7, 1, 116)
    return first + struct.pack("<4sI", b"vtrt", mask) + bytes(20) + struct.pack("<II", 0x2B0, 0)


def test_an_rtx_header_holds_version_length_and_capabilities() -> None:
    assert read_plan_header(rtx_plan()) == RTX
    assert RTX.compute_capabilities == ((8, 9),)


def test_a_mask_may_name_several_capabilities() -> None:
    header = read_plan_header(rtx_plan(mask=0b1111111))
    assert header.compute_capabilities == ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))


def test_a_full_tensorrt_header_holds_the_version_only() -> None:
    data = b"ftrt" + bytes(20) + bytes((10, 13, 3, 9)) + bytes(36)
    assert read_plan_header(data) == FULL
    assert FULL.compute_capabilities == ()


@pytest.mark.parametrize(
    "data",
    [b"", rtx_plan()[:63], rtx_plan(magic=b"vtrT"), rtx_plan(magic=b"\xff\xff\xff\xff"), rtx_plan(zero=1), bytes(64)],
)
def test_anything_else_is_no_plan(data: bytes) -> None:
    with pytest.raises(ValueError, match="plan"):
        read_plan_header(data)


@pytest.mark.parametrize("header", [RTX, FULL])
def test_the_json_form_is_read_back(header: PlanHeader) -> None:
    assert record_from_json(PlanHeader, json_from_record(header)) == header


@pytest.mark.parametrize(
    "change", [{"magic": 1}, {"version": None}, {"size_bytes": "1"}, {"capability_mask": 1.5}, {"more": 1}]
)
def test_other_json_is_no_header(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        record_from_json(PlanHeader, {**json_from_record(RTX), **change})


def test_the_plan_that_was_asked_for_has_no_fault() -> None:
    assert header_faults(RTX, **ASKED) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"size_bytes": 555_995}, "its header says 555996 bytes, the file has 555995"),
        ({"version": "1.6.1.100"}, "it was built by tensorrt-rtx 1.7.1.116, not 1.6.1.100"),
        ({"compute_capability": (8, 6)}, "it was built for compute capability 8.9, not 8.6"),
        ({"compute_capability": (9, 0)}, "it was built for compute capability 8.9, not 9.0"),
        ({"runtime": "tensorrt"}, "it is a plan of tensorrt-rtx, not of tensorrt"),
    ],
)
def test_F32_each_difference_is_named(change: dict[str, object], fault: str) -> None:
    assert header_faults(RTX, **{**ASKED, **change}) == (fault,)  # type: ignore[arg-type]


def test_all_differences_are_named_at_once() -> None:
    faults = header_faults(RTX, size_bytes=1, runtime="tensorrt-rtx", version="1.0.0.0", compute_capability=(7, 5))
    assert len(faults) == 3


def test_a_full_tensorrt_plan_is_judged_by_what_its_header_holds() -> None:
    faults = header_faults(FULL, size_bytes=7, runtime="tensorrt", version="10.13.3.9", compute_capability=(9, 0))
    assert faults == ()


def test_a_suffix_of_the_installed_version_does_not_matter() -> None:
    assert header_faults(RTX, **{**ASKED, "version": "1.7.1.116.post1"}) == ()  # type: ignore[arg-type]
