"""Run as a program: build an ONNX model with TensorRT-RTX, once per compute capability, and print what came out.

Arguments: model, shape of its only input (``8x3x16x16``; the first axis is dynamic from 1), compute capabilities
(``75`` …). Prints a JSON object: compute capability -> size of the engine in bytes, or the first error as text.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import tensorrt_rtx_bindings as trt


class _Errors(trt.ILogger):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def log(self, severity: Any, text: str) -> None:
        if severity <= trt.ILogger.ERROR:
            self.texts.append(text)


def _build(path: str, shape: tuple[int, ...], capability: str, errors: _Errors) -> int | str:
    builder = trt.Builder(errors)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, errors)
    if not parser.parse_from_file(path):
        return str(parser.get_error(0).desc())
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), 0)
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, (1, *shape[1:]), shape, shape)
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    return errors.texts[0] if engine is None else int(engine.nbytes)


def main(path: str, shape: str, *capabilities: str) -> None:
    """Build for each compute capability and print the outcome."""
    errors = _Errors()
    outcome: dict[str, int | str] = {}
    for capability in capabilities:
        errors.texts.clear()
        outcome[capability] = _build(path, tuple(map(int, shape.split("x"))), capability, errors)
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
