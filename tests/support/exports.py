"""Delivered engines for tests of what is made of them: files with sidecars, no real plans."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_bytes
from pipeline.precision import Precision
from pipeline.publish.sidecar import Sidecar, TargetReport, sidecar_to_json
from tests.support.reports import sample_sidecar

if TYPE_CHECKING:
    from pathlib import Path

L4 = TargetReport(id="l4", runtime="tensorrt", compute_capability="8.9", gpu="l4")
L40S = TargetReport(id="l40s", runtime="tensorrt", compute_capability="8.9", gpu="l40s")
H200 = TargetReport(id="h200", runtime="tensorrt", compute_capability="9.0", gpu="h200")


def sidecar_of(target: TargetReport = L4, *, model: str = "digits", content: bytes = b"plan", **parts: Any) -> Sidecar:
    """The sidecar of ``digits/<target>/fp16``."""
    precision = parts.pop("precision", Precision.FP16)
    defaults: dict[str, Any] = {
        "job": f"{model}/{target.id}/{precision}",
        "target": target,
        "precision": precision,
        "engine_digest": digest_from_bytes(content),
        "engine_size_bytes": len(content),
    }
    return replace(sample_sidecar(), **(defaults | parts))


def deliver(out: Path, sidecar: Sidecar, content: bytes = b"plan") -> None:
    """As a run does."""
    path = out / f"{sidecar.job}.engine"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(sidecar_to_json(sidecar)))
