"""Engines' layers for tests."""

from __future__ import annotations

from pipeline.digest import digest_from_bytes
from pipeline.inspection.layers import EngineLayers, Layer, LayerTensor


def layer(
    name: str,
    precision: str | None = "fp16",
    *,
    kind: str | None = "CaskConvolution",
    time_ms: float | None = None,
    tactic: str | None = "sm80_xmma_fprop",
    nodes: tuple[str, ...] = (),
) -> Layer:
    tensor = LayerTensor(name="x", dtype=precision, format="NHWC", dims=(1, 3))
    return Layer(
        name=name,
        type=kind,
        precision=precision,
        tactic=tactic,
        inputs=(tensor,),
        outputs=(tensor,),
        onnx_nodes=nodes,
        time_ms=time_ms,
    )


def engine_of(*layers: Layer) -> EngineLayers:
    timed = any(each.time_ms is not None for each in layers)
    return EngineLayers(
        engine_digest=digest_from_bytes(b"engine"),
        runtime_version="8.6.0",
        detailed=True,
        shapes={"x": (1, 3)},
        profiled_iterations=50 if timed else 0,
        layers=layers,
    )
