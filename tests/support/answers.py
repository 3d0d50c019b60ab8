"""What honest children answer, without any TensorRT: a plan that begins as one, a table that reads as one."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from pipeline.build.plan_header import PLAN_HEADER_BYTES, read_plan_header
from pipeline.record import json_from_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TABLE = "TRT-8600-EntropyCalibration2\nimage: 3c010a14\n"
_TAGS = {"tensorrt": b"ftrt", "tensorrt-rtx": b"vtrt"}
_EVERY_CAPABILITY = 0x7F


def answered_build(request: Mapping[str, Any], folder: Path, versions: Mapping[str, str]) -> dict[str, Any]:
    """Write ``engine.plan`` as the runtime of ``request`` would, and answer as task ``build`` does."""
    version = [int(part) for part in f"{versions[request['runtime']]}.12".split(".")[:4]]
    plan = struct.pack(
        "<4sIQQ4BII28x", _TAGS[request["runtime"]], 0, 0, PLAN_HEADER_BYTES, *version, 0, _EVERY_CAPABILITY
    )
    assert len(plan) == PLAN_HEADER_BYTES
    (folder / "engine.plan").write_bytes(plan)
    return {
        "engine": "engine.plan",
        "size_bytes": len(plan),
        "runtime_version": versions[request["runtime"]],
        "build_s": 1.0,
        "inputs": [],
        "outputs": [],
        "header": json_from_record(read_plan_header(plan)),
        "warnings": [],
        "tactics": None,
    }
